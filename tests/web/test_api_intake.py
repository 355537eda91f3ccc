"""The intake over the API: strangers are assigned or ignored, what was set aside is replayed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponseBase
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import make_asset, make_client, make_person
from forestall.estate.access import make_token
from forestall.estate.models import Asset, Client
from forestall.estate.values import Role
from forestall.intake.models import Stranger
from forestall.intake.poison import About, Poison, list_set_aside, throw_away
from forestall.journal.models import Entry

pytestmark = pytest.mark.django_db


class Program:
    """Something with an owner's token, of one client or of all."""

    def __init__(self, client: Client | None = None) -> None:
        person = make_person(role=Role.OWNER)
        may = ["installation:read", "installation:write", "estate:write", "intake"]
        _, secret = make_token(person, name="program", may=may, client=client.pk if client else None)
        self.headers = {"authorization": f"Bearer {secret}"}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body) if body is not None else None
        send = getattr(Browser(headers=self.headers), method)
        answer: HttpResponseBase = send(f"/api/v1/{path}", data, content_type="application/json")
        return answer


def stranger(client: Client | None, sender: str, **fields: Any) -> Stranger:
    at = timezone.now() - timedelta(minutes=Stranger.objects.count())
    given = {"door": "loki", "reason": "unknown", "first_at": at, "last_at": at, "records": 3} | fields
    return Stranger.objects.create(client=client, sender=sender, **given)


def test_strangers_are_listed_page_by_page() -> None:
    rows = [stranger(None, f"10.0.0.{k}") for k in range(3)]
    stranger(None, "10.0.0.9", state="done")
    program = Program()
    first = program.ask("get", "strangers?limit=2").json()
    assert [one["id"] for one in first["items"]] == [rows[0].pk, rows[1].pk]
    second = program.ask("get", f"strangers?limit=2&cursor={first['next']}").json()
    assert [one["sender"] for one in second["items"]] == ["10.0.0.2"] and second["next"] is None
    assert [one["sender"] for one in program.ask("get", "strangers?state=done").json()["items"]] == [
        "10.0.0.9"
    ]


def test_a_stranger_is_assigned_made_an_asset_of_and_ignored() -> None:
    acme = make_client()
    asset = make_asset(acme)
    program = Program()
    one, two, three = (stranger(acme, name) for name in ("web-1", "web-2", "web-3"))
    answer = program.ask("post", f"strangers/{one.pk}/assign", {"asset": asset.pk})
    assert answer.status_code == 200 and answer.json()["state"] == "released"
    assert Asset.objects.get(pk=asset.pk).addresses == ["web-1"]
    again = program.ask("post", f"strangers/{two.pk}/assign", {"asset": make_asset().pk})
    assert again.status_code == 422 and "another client" in again.content.decode()
    made = program.ask("post", f"strangers/{two.pk}/make-asset", {"kind": "server"})
    assert (
        made.status_code == 201 and made.json()["client"] == acme.pk and made.json()["addresses"] == ["web-2"]
    )
    assert program.ask("post", f"strangers/{three.pk}/ignore").json()["state"] == "ignored"
    assert program.ask("post", f"strangers/{three.pk}/heed").json()["state"] == "waiting"
    kinds = set(Entry.objects.filter(kind__startswith="intake.").values_list("kind", flat=True))
    assert kinds == {"intake.sender_released", "intake.sender_ignored", "intake.sender_waiting"}


def test_a_token_of_one_client_sees_its_own_strangers_alone() -> None:
    acme = make_client()
    mine, nobodys, theirs = stranger(acme, "a"), stranger(None, "10.0.0.1"), stranger(make_client(), "b")
    program = Program(acme)
    assert [one["id"] for one in program.ask("get", "strangers").json()["items"]] == [mine.pk]
    for other in (nobodys, theirs):
        assert program.ask("get", f"strangers/{other.pk}").status_code == 404
        assert program.ask("post", f"strangers/{other.pk}/ignore").status_code == 404


def test_what_was_set_aside_is_replayed_and_thrown_away() -> None:
    directory = settings.DATA.queue / "poison"
    for one in list_set_aside(directory):
        throw_away(directory, one.name)
    Poison(directory).set_aside("watch:7-8", [b"frame"], About("watch", "store", "no such column", 7, 1))
    narrow, program = Program(make_client()), Program()
    assert narrow.ask("get", "set-aside").json()["items"] == []
    (told,) = program.ask("get", "set-aside").json()["items"]
    assert (told["missing_in"], told["frames"], told["replaying"]) == ("search", 1, False)
    name = {"name": told["name"]}
    assert narrow.ask("post", "set-aside/replay", name).status_code == 422
    assert program.ask("post", "set-aside/replay", name).status_code == 202
    assert program.ask("get", "set-aside").json()["items"][0]["replaying"]
    assert program.ask("post", "set-aside/throw-away", {"name": "../x"}).status_code == 422
    assert program.ask("post", "set-aside/throw-away", name).status_code == 204
    assert program.ask("post", "set-aside/replay", name).status_code == 422
