"""Holds and the deletion of a client in the console and the API: who may, and what is said."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import EVERYTHING, make_client, make_person
from forestall.alerts.models import Evidence
from forestall.estate.access import make_token
from forestall.estate.models import Client, Person
from forestall.estate.values import Role
from forestall.keeping.actions import release_hold
from forestall.keeping.models import Deletion, Hold
from tenancy_world import make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign_in() -> Callable[[Role], Browser]:
    def enter(role: Role) -> Browser:
        browser = Browser()
        browser.force_login(make_person(role=role))
        return browser

    return enter


def test_a_client_is_held_and_let_go(sign_in: Callable[[Role], Browser]) -> None:
    client, desk = make_client(), sign_in(Role.TECHNICIAN)
    day = (timezone.now() + timedelta(days=30)).date().isoformat()
    wrong = desk.post(f"/clients/{client.pk}/hold", {"reason": "Case 12", "until": "soon"}, follow=True)
    assert "is no day" in wrong.content.decode() and not Hold.objects.exists()
    page = desk.post(f"/clients/{client.pk}/hold", {"reason": "Case 12", "until": day}, follow=True)
    assert "Case 12" in page.content.decode()
    row = Hold.objects.get(client=client)
    assert row.asset_id is None and row.until is not None and row.until.date().isoformat() == day
    desk.post(f"/holds/{row.pk}/release")
    row.refresh_from_db()
    assert row.released_at is not None
    assert sign_in(Role.READ_ONLY).post(f"/clients/{client.pk}/hold", {"reason": "x"}).status_code == 403


def test_the_telemetry_around_evidence_is_held(sign_in: Callable[[Role], Browser]) -> None:
    world = make_world(timezone.now())
    evidence = Evidence.objects.select_related("finding").get(pk=world.foreign["evidence"])
    desk = sign_in(Role.TECHNICIAN)
    page = desk.post(f"/evidence/{evidence.pk}/hold", {"reason": "Insurance"}, follow=True)
    assert "Held: Insurance" in page.content.decode()
    row = Hold.objects.get(reason="Insurance")
    assert row.asset_id == evidence.asset_id and row.from_at is not None and row.to_at is not None
    assert row.from_at < evidence.finding.began_at and evidence.sealed_at < row.to_at


def test_only_an_owner_who_types_the_name_deletes(sign_in: Callable[[Role], Browser]) -> None:
    client = make_client("Alder Dental")
    address = f"/clients/{client.pk}/delete"
    manager, owner = sign_in(Role.SERVICE_MANAGER), sign_in(Role.OWNER)
    assert "Delete this client" not in manager.get(f"/clients/{client.pk}/").content.decode()
    assert manager.post(address, {"confirm": client.name}).status_code == 403
    assert "Type it exactly" in owner.post(address, {"confirm": "Alder"}, follow=True).content.decode()
    assert not Deletion.objects.exists()
    page = owner.post(address, {"confirm": client.name}, follow=True)
    assert "is being deleted" in page.content.decode()
    assert Deletion.objects.get(pk=client.pk).done_at is None
    assert Client.objects.get(pk=client.pk).archived_at is not None


def bearer(person: Person, *may: str) -> dict[str, str]:
    _, secret = make_token(person, name="test", may=list(may))
    return {"Authorization": f"Bearer {secret}"}


def test_the_api_holds_releases_and_orders() -> None:
    client, api = make_client(), Browser()
    may = ("alerts:read", "alerts:write", "installation:write", "installation:read")
    head = bearer(make_person(role=Role.OWNER), *may)
    given = {"client": client.pk, "reason": "Case 12"}
    made = api.post("/api/v1/holds", json.dumps(given), content_type="application/json", headers=head)
    assert made.status_code == 201, made.content
    hold = made.json()["id"]
    assert [one["id"] for one in api.get("/api/v1/holds", headers=head).json()] == [hold]
    order = {"confirm": client.name}
    address = f"/api/v1/clients/{client.pk}/deletion"
    refused = api.post(address, json.dumps(order), content_type="application/json", headers=head)
    assert refused.status_code in (400, 409, 422) and "is held" in refused.json()["detail"]
    release_hold(EVERYTHING, hold, now=timezone.now())
    again = api.delete(f"/api/v1/holds/{hold}", headers=head)
    assert again.status_code in (400, 409, 422)
    ordered = api.post(address, json.dumps(order), content_type="application/json", headers=head)
    assert ordered.status_code == 202 and ordered.json()["done_at"] is None
    assert api.get(address, headers=head).json()["client"] == client.pk
    assert "not done yet" in api.get(f"{address}/certificate", headers=head).json()["detail"]
