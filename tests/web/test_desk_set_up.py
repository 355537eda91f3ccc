"""Setting up the desk by its pages and its API: what is kept, what is wrong and where it is said, who may."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client as Browser

from estate_factories import make_asset, make_client, make_person
from forestall.estate.access import make_token
from forestall.estate.values import Role
from forestall.journal.models import Entry
from forestall.tickets.models import Queue, Recurring, ServiceLevel, Template, Ticket
from forestall.tickets.rounds import open_recurring
from one_line import one_line

pytestmark = pytest.mark.django_db

LEVEL = {
    "name": "Standard", "timezone": "Europe/Berlin", "warn_percent": "80", "country": "de",
    "subdivision": "BY", "first_1": "30 min", "solve_1": "4 h", "first_3": "4", "solve_3": "",
    **{f"hours_{at}": "08:00-12:00, 13:00 - 17:30" for at in range(5)},
}  # fmt: skip


def signed_in(role: Role = Role.SERVICE_MANAGER, **given) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=role, **given))
    return browser


def test_a_service_level_is_kept_and_new_tickets_have_it() -> None:
    browser = signed_in()
    client = make_client("Bakery")
    assert "Nothing is promised" in one_line(browser.get("/desk/levels/"))
    assert browser.post("/desk/levels/", LEVEL)["Location"] == "/desk/levels/"
    row = ServiceLevel.objects.get()
    assert row.hours == [[[480, 720], [780, 1050]]] * 5 + [[], []]
    assert (row.country, row.warn_percent, row.targets) == (
        "DE", 80, {"1": [1800, 14400], "3": [14400, None]},
    )  # fmt: skip
    browser.post("/tickets/new", {"client": "Bakery", "title": "Dark", "impact": "3", "urgency": "1"})
    ticket = Ticket.objects.get()
    assert ticket.service_level == row
    place = f"/desk/levels/{row.pk}/"
    page = one_line(browser.get(place))
    assert "08:00-12:00, 13:00-17:30" in page and "30 min" in page
    browser.post(place, LEVEL | {"name": "Better", "first_1": "15 min"})
    browser.post("/desk/levels/", LEVEL | {"name": "Bakery's", "client": "Bakery"})
    browser.post(place, {"do": "retire"})
    ticket.refresh_from_db()
    assert ticket.service_level == row, "open tickets keep what they had"
    assert ServiceLevel.objects.get(retired_at=None).client == client
    said = Entry.objects.filter(kind="desk.service_level").count()
    assert said == 4, "each step is in the journal"


def test_what_is_wrong_stands_at_its_field() -> None:
    browser = signed_in()
    browser.post("/desk/levels/", LEVEL)
    for field, value, says in (
        ("timezone", "Europe/Nowhere", "No such time zone"),
        ("hours_2", "8-12", "Write times as"),
        ("hours_2", "08:00-12:00, 11:00-13:00", "touch or overlap"),
        ("hours_1", "22:00-25:00", "within one day"),
        ("first_1", "soon", "30 min or 4 h"),
        ("solve_1", "10 min", "before the first response"),
        ("country", "QQ", "not known"),
        ("subdivision", "ZZ", "No such part"),
        ("warn_percent", "120", "1 to 99"),
        ("name", " ", "A name is needed"),
        ("client", "Nobody at all", "no client called"),
    ):
        answer = browser.post("/desk/levels/", LEVEL | {"client": ""} | {field: value})
        text = one_line(answer)
        assert answer.status_code == 422 and says in text, (field, text)
        assert value.strip() in text or field == "client", field
    assert "has a service level" in one_line(browser.post("/desk/levels/", LEVEL))
    assert ServiceLevel.objects.count() == 1


def test_queues_are_kept_in_order_and_only_empty_ones_retire() -> None:
    browser = signed_in()
    make_client("Bakery")
    for name, place in (("Second line", "2"), ("First line", "1")):
        browser.post("/desk/queues/", {"name": name, "position": place})
    assert [one.name for one in Queue.objects.all()] == ["First line", "Second line"]
    assert browser.post("/desk/queues/", {"name": "first LINE"}).status_code == 422
    first = Queue.objects.get(name="First line")
    browser.post("/tickets/new", {"client": "Bakery", "title": "Dark"})
    ticket = Ticket.objects.get()
    browser.post(f"/tickets/{ticket.pk}/file", {"queue": first.pk})
    page = one_line(browser.post("/desk/queues/", {"do": "retire", "queue": first.pk}, follow=True))
    assert "1 open tickets lie in the queue First line" in page
    browser.post(f"/tickets/{ticket.pk}/status", {"status": "closed"})
    browser.post("/desk/queues/", {"do": "retire", "queue": first.pk})
    browser.post("/desk/queues/", {"name": "First line", "position": "3"})
    assert [one.name for one in Queue.objects.filter(retired_at=None)] == ["Second line", "First line"]


def test_a_template_begins_tickets_by_hand_and_again_and_again() -> None:
    browser = signed_in(Role.TECHNICIAN)
    client = make_client("Bakery")
    client.timezone = "Europe/Berlin"
    client.save()
    till = make_asset(client, name="till-1")
    assert "needs a template" in one_line(browser.get("/desk/recurring/"))
    given = {"name": "Updates", "title": "Look through the updates", "impact": "3", "urgency": "3",
             "checklist": "servers\n\nswitches", "tags": "Updates"}  # fmt: skip
    browser.post("/desk/templates/", given)
    assert browser.post("/desk/templates/", given).status_code == 422, "one of a name"
    template = Template.objects.get()
    form = one_line(browser.get("/tickets/new", {"ticket_template": template.pk}))
    assert "Look through the updates" in form and "2 things to do" in form
    browser.post("/tickets/new", {"client": "Bakery", "title": "Now", "ticket_template": template.pk})
    assert [one.text for one in Ticket.objects.get().checklist.all()] == ["servers", "switches"]
    again = {"client": "Bakery", "ticket_template": template.pk, "every": "week", "asset_name": "TILL-1",
             "next_at": "2099-03-28T07:30"}  # fmt: skip
    for field, value, says in (
        ("next_at", "2019-03-28T07:30", "This is over"),
        ("next_at", "2019-99-28T07:30", "Choose a day"),
        ("asset_name", "forge", "0 assets of Bakery"),
        ("every", "year", "day, week, month"),
        ("ticket_template", "x", "Choose a template"),
    ):
        answer = browser.post("/desk/recurring/", again | {field: value})
        assert answer.status_code == 422 and (says in one_line(answer) or field == "every"), field
    browser.post("/desk/recurring/", again)
    row = Recurring.objects.get()
    assert (row.asset, row.next_at) == (till, datetime(2099, 3, 28, 6, 30, tzinfo=UTC))
    assert open_recurring(datetime(2099, 3, 28, 6, 31, tzinfo=UTC)) == 1
    row.refresh_from_db()
    assert row.next_at == datetime(2099, 4, 4, 5, 30, tzinfo=UTC), "the same wall time in summer"
    page = one_line(browser.post(f"/desk/templates/{template.pk}/", {"do": "retire"}, follow=True))
    assert "End them first" in page
    browser.post(f"/desk/recurring/{row.pk}/", {"do": "end"})
    browser.post(f"/desk/templates/{template.pk}/", {"do": "retire"})
    assert "Look through the updates" not in one_line(browser.get("/tickets/new"))


def test_who_may_what() -> None:
    own, other = make_client(), make_client()
    boss, technician = signed_in(), signed_in(Role.TECHNICIAN)
    boss.post("/desk/levels/", LEVEL)
    row = ServiceLevel.objects.get()
    assert technician.get("/desk/levels/").status_code == 200
    technician.post("/desk/levels/", LEVEL | {"client": own.name})
    technician.post(f"/desk/levels/{row.pk}/", {"do": "retire"})
    technician.post("/desk/queues/", {"name": "Mine"})
    assert ServiceLevel.objects.filter(retired_at=None).count() == 1 and not Queue.objects.exists()
    narrow = signed_in(clients=(own,))
    narrow.post(f"/desk/levels/{row.pk}/", LEVEL | {"name": "Mine"})
    narrow.post("/desk/queues/", {"name": "Mine"})
    narrow.post("/desk/templates/", {"name": "x", "title": "x", "impact": "3", "urgency": "3"})
    assert narrow.post("/desk/levels/", LEVEL | {"client": other.name}).status_code == 422
    assert ServiceLevel.objects.get().name == "Standard"
    assert not Template.objects.exists() and not Queue.objects.exists()
    narrow.post("/desk/levels/", LEVEL | {"client": own.name})
    assert ServiceLevel.objects.filter(client=own).exists()
    assert signed_in(Role.ACCOUNTING).get("/desk/levels/").status_code == 403


def test_the_api_sets_the_desk_up_too() -> None:
    client, person = make_client(), make_person(role=Role.OWNER)
    may = ["tickets:read", "tickets:write", "desk:write"]
    _, secret = make_token(person, name="desk", may=may)
    headers = {"Authorization": f"Bearer {secret}"}
    browser = Browser()

    def ask(method: str, place: str, body: object = None):
        text = json.dumps(body) if body is not None else ""
        return browser.generic(method, f"/api/v1/{place}", text, "application/json", headers=headers)

    hours = [[[480, 1020]]] * 5 + [[], []]
    level = {"name": "Standard", "hours": hours, "targets": {"1": [1800, 14400]}}
    made = ask("POST", "service-levels", level)
    assert made.status_code == 201, made.content
    refused = ask("POST", "service-levels", level | {"client": client.pk, "timezone": "Mars/Base"})
    assert refused.status_code == 422 and "No such time zone" in refused.json()["detail"]
    place = f"service-levels/{made.json()['id']}"
    assert ask("PUT", place, level | {"name": "Better"}).json()["name"] == "Better"
    queue = ask("POST", "queues", {"name": "First line"}).json()["id"]
    sort = {"name": "New", "title": "A new employee", "queue": queue, "checklist": ["account"]}
    template = ask("POST", "ticket-templates", sort).json()["id"]
    again = {"client": client.pk, "ticket_template": template, "every": "day",
             "next_at": "2099-01-01T08:00:00Z"}  # fmt: skip
    recurring = ask("POST", "recurring-tickets", again).json()["id"]
    assert ask("DELETE", f"ticket-templates/{template}").status_code == 422
    for where in (f"recurring-tickets/{recurring}", f"ticket-templates/{template}", f"queues/{queue}", place):
        assert ask("DELETE", where).status_code == 204, where
    for where in ("recurring-tickets", "ticket-templates", "queues", "service-levels"):
        assert ask("GET", where).json()["items"] == [], where
