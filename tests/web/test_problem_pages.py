"""Problems over the API and the console: what they say, what they refuse, whose they are."""

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import EVERYTHING, make_asset, make_client, make_person
from forestall.estate.access import make_token
from forestall.estate.values import Role
from forestall.journal.models import Entry as Journaled
from forestall.problems import actions
from forestall.problems.models import Fix, Occurrence, Problem
from forestall.problems.rounds import go_round
from forestall.tickets.actions import open_by_hand
from forestall.tickets.models import Ticket
from one_line import one_line

pytestmark = pytest.mark.django_db


def recurring():
    """Two reports of one trouble, days apart."""
    asset, now = make_asset(), timezone.now()
    for title, days in (("Outlook is slow", 3), ("My mail is slow again", 0)):
        at = now - timedelta(days=days)
        open_by_hand(EVERYTHING, client=asset.client_id, asset=asset.pk, title=title, now=at)
    go_round(now=now)
    return Problem.objects.of(EVERYTHING).get()


def bearer(role=Role.TECHNICIAN, clients=()):
    person = make_person(role=role, clients=clients)
    _, secret = make_token(person, name="test", may=["tickets:read", "tickets:write"])
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


def test_a_problem_over_the_api():
    problem = recurring()
    mine = bearer(clients=(problem.client,))
    listed = Browser().get("/api/v1/problems?status=live", **mine).json()
    assert [one["id"] for one in listed["items"]] == [problem.pk]
    whole = Browser().get(f"/api/v1/problems/{problem.pk}", **mine).json()
    assert (whole["times"], len(whole["tickets"]), whole["problem"]["status"]) == (2, 2, "proposed")
    fixed = Browser().post(
        f"/api/v1/problems/{problem.pk}/fixes", json.dumps({"what": "moved the mailbox"}),
        content_type="application/json", **mine,
    )  # fmt: skip
    assert fixed.status_code == 201
    assert fixed.json()["state"] == "on_watch"
    assert "it came 2 times" in fixed.json()["because"]
    assert Fix.objects.of(EVERYTHING).get().what == "moved the mailbox"


def test_another_clients_problem_is_not_there():
    problem = recurring()
    other = bearer(clients=(make_client(),))
    assert Browser().get("/api/v1/problems", **other).json()["items"] == []
    assert Browser().get(f"/api/v1/problems/{problem.pk}", **other).status_code == 404
    address = f"/api/v1/problems/{problem.pk}/fixes"
    nothing = Browser().post(address, '{"what": "x"}', content_type="application/json", **other)
    assert nothing.status_code == 404


def test_a_ticket_says_what_is_known_behind_it():
    problem, now = recurring(), timezone.now()
    actions.describe(
        EVERYTHING, problem.pk, root_cause="The mailbox is too large", workaround="Archive it", now=now
    )
    text = "Archive what is older than a year."
    actions.write_article(
        EVERYTHING, client=problem.client_id, key=problem.key, title="Slow mail", text=text, now=now
    )
    browser = Browser()
    browser.force_login(make_person(role=Role.TECHNICIAN, clients=(problem.client,)))
    for ticket in Ticket.objects.of(EVERYTHING):
        page = one_line(browser.get(f"/tickets/{ticket.pk}/"))
        assert f"/problems/{problem.pk}/" in page and "came 2 times" in page
        assert all(said in page for said in ("The mailbox is too large", "Archive it", "Slow mail", text))
        assert "Open a problem" not in page


@pytest.mark.parametrize("title", ["The paper of the big printer jams", "?!"])
def test_a_problem_is_opened_from_the_page_of_a_ticket(title):
    asset, now = make_asset(), timezone.now()
    ticket = open_by_hand(EVERYTHING, client=asset.client_id, asset=asset.pk, title=title, now=now)
    browser = Browser()
    browser.force_login(make_person(role=Role.TECHNICIAN))
    before = one_line(browser.get(f"/tickets/{ticket.pk}/"))
    assert "None is known." in before and f'action="/problems-of/{ticket.pk}"' in before
    opened = one_line(browser.post(f"/problems-of/{ticket.pk}", follow=True))
    assert f"Opened by hand from ticket #{ticket.number}." in opened
    after = one_line(browser.get(f"/tickets/{ticket.pk}/"))
    assert f"/problems/{Problem.objects.of(EVERYTHING).get().pk}/" in after and "None is known." not in after
    browser.post(f"/problems-of/{ticket.pk}")
    assert Problem.objects.of(EVERYTHING).count() == 1
    reader = Browser()
    reader.force_login(make_person(role=Role.READ_ONLY))
    assert "/problems-of/" not in one_line(reader.get(f"/tickets/{ticket.pk}/"))


def test_tickets_are_joined_and_parted_on_the_page_of_a_problem():
    problem, now = recurring(), timezone.now()
    client = problem.client_id
    titles = ("The printer eats paper", "The printer ate my paper again")
    jammed = [open_by_hand(EVERYTHING, client=client, title=title, now=now) for title in titles]
    browser, place = Browser(), f"/problems/{problem.pk}/"
    browser.force_login(make_person(role=Role.TECHNICIAN, clients=(problem.client,)))
    assert "Not the same" not in one_line(browser.get(place))
    wrong = one_line(browser.post(f"{place}join", {"number": "999"}, follow=True))
    assert "no ticket of this client is #999" in wrong
    joined = one_line(browser.post(f"{place}join", {"number": f"#{jammed[0].number}"}, follow=True))
    assert "The printer eats paper" in joined and "Not the same" in joined
    go_round(now=now)  # the second jam is recognised as the same trouble by itself
    assert Occurrence.objects.of(EVERYTHING).get(ticket=jammed[1]).problem == problem
    key = Ticket.objects.of(EVERYTHING).get(pk=jammed[0].pk).fingerprint
    parted = one_line(browser.post(f"{place}part", {"key": key}, follow=True))
    assert "Not the same" not in parted
    assert set(problem.occurrences.values_list("key_client", flat=True)) == {problem.key}
    kinds = Journaled.objects.filter(client=client).values_list("kind", flat=True)
    assert {"problem.joined", "problem.parted"} <= set(kinds)
