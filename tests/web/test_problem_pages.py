"""Problems over the API and the console: what they say, what they refuse, whose they are."""

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import EVERYTHING, make_asset, make_client, make_person
from forestall.estate.access import make_token
from forestall.estate.values import Role
from forestall.problems.models import Fix, Problem
from forestall.problems.rounds import go_round
from forestall.tickets.actions import open_by_hand

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
