"""Heartbeats: what is kept of a ping, how a heartbeat stands, and that its address is a secret."""

from datetime import timedelta

import pytest
from django.db import connection

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.estate.access import hash_secret
from forestall.intake.heartbeat_models import Heartbeat, Ping
from forestall.intake.heartbeats import (
    BODY_KEPT_BYTES,
    PINGS_KEPT,
    Heard,
    add_heartbeat,
    find_heartbeat,
    find_pinger,
    list_heartbeats,
    list_pings,
    note_ping,
    remove_heartbeat,
    secret_of,
    state_of,
)
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble
from forestall.processes.judging import load_judged_assets

pytestmark = pytest.mark.django_db

RID, OTHER = "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001"


@pytest.fixture
def beat() -> Heartbeat:
    return add_heartbeat(EVERYTHING, asset=make_asset(), name="nightly", period_s=86_400, grace_s=3_600)


def heard(kind: str, minutes: float, **more: object) -> Heard:
    return Heard(kind=kind, at=START + timedelta(minutes=minutes), peer="10.0.0.1", **more)  # type: ignore[arg-type]


def fresh(beat: Heartbeat) -> Heartbeat:
    return Heartbeat.objects.get(pk=beat.pk)


def test_its_secret_finds_it_and_stands_nowhere_in_plain_text(beat: Heartbeat) -> None:
    secret = secret_of(beat)
    assert len(secret) == 22
    pusher = find_pinger(hash_secret(secret))
    assert pusher is not None and (pusher.token, pusher.asset) == (beat.pk, beat.asset_id)
    assert find_pinger(hash_secret("x" * 22)) is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM intake_heartbeat")
        assert secret not in str(cursor.fetchall())
    assert all(secret.encode() not in bytes(entry.body) for entry in Entry.objects.all())


def test_a_removed_or_archived_one_opens_nothing(beat: Heartbeat) -> None:
    hashed = hash_secret(secret_of(beat))
    asset = beat.asset
    asset.archived_at = START
    asset.save()
    assert find_pinger(hashed) is None
    assert list_heartbeats(EVERYTHING) == []
    asset.archived_at = None
    asset.save()
    assert find_pinger(hashed) is not None
    remove_heartbeat(EVERYTHING, beat)
    assert find_pinger(hashed) is None
    assert note_ping(beat.pk, heard("ok", 0)) is None
    assert [entry.kind for entry in Entry.objects.order_by("seq")] == [
        "estate.heartbeat_created", "estate.heartbeat_removed",
    ]  # fmt: skip


def test_how_it_stands(beat: Heartbeat) -> None:
    def now(minutes: float) -> str:
        return state_of(fresh(beat), START + timedelta(minutes=minutes))

    assert now(0) == "waiting"
    note_ping(beat.pk, heard("log", 1))
    assert now(1) == "waiting"
    note_ping(beat.pk, heard("start", 2))
    assert (now(3), now(63)) == ("running", "late")
    note_ping(beat.pk, heard("ok", 10))
    assert (now(11), now(25 * 60 + 11)) == ("in_time", "late")
    note_ping(beat.pk, heard("fail", 20))
    assert now(21) == "failed"
    note_ping(beat.pk, heard("ok", 30))
    assert now(31) == "in_time"


def test_runs_are_timed_by_their_identifier(beat: Heartbeat) -> None:
    note_ping(beat.pk, heard("start", 0, rid=RID))
    noted = note_ping(beat.pk, heard("ok", 1, rid=OTHER))
    assert noted is not None and noted.lasted_ms is None and fresh(beat).began_at is not None
    noted = note_ping(beat.pk, heard("ok", 2, rid=RID))
    assert noted is not None and noted.lasted_ms == 120_000 and fresh(beat).began_at is None
    note_ping(beat.pk, heard("start", 3))
    noted = note_ping(beat.pk, heard("fail", 3.5, rid=RID))
    assert noted is not None and noted.lasted_ms == 30_000


def test_the_newest_pings_are_kept_and_bodies_are_cut(beat: Heartbeat) -> None:
    for number in range(PINGS_KEPT + 45):
        note_ping(beat.pk, heard("ok", number, body=b"x" * 20_000, status=number % 256))
    kept = list_pings(EVERYTHING, beat, limit=1000)
    assert PINGS_KEPT <= len(kept) <= PINGS_KEPT + 20
    assert kept[0].at == START + timedelta(minutes=PINGS_KEPT + 44)
    assert {len(bytes(ping.body)) for ping in kept} == {BODY_KEPT_BYTES}
    assert fresh(beat).pings == PINGS_KEPT + 45


def test_what_is_expected_of_it(beat: Heartbeat) -> None:
    def expected() -> list[tuple[str, str, int]]:
        return [
            (one.what, one.name, one.interval_ms)
            for asset in load_judged_assets()
            for one in asset.expects
            if one.what.startswith("heartbeat")
        ]

    assert expected() == []
    note_ping(beat.pk, heard("ok", 0))
    assert expected() == [("heartbeat", "heartbeat nightly", 90_000_000)]
    note_ping(beat.pk, heard("start", 1))
    assert expected()[1:] == [("heartbeat_end", "heartbeat nightly", 3_600_000)]
    note_ping(beat.pk, heard("fail", 2))
    assert len(expected()) == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": " "}, "a heartbeat's name"),
        ({"name": "x" * 101}, "a heartbeat's name"),
        ({"period_s": 5}, "every minute to every 366 days"),
        ({"grace_s": 0}, "every minute to every 366 days"),
        ({"name": "nightly"}, "already"),
    ],
)
def test_what_cannot_be_made_says_what_to_write(beat: Heartbeat, given: dict[str, object], why: str) -> None:
    with pytest.raises(Trouble, match=why):
        add_heartbeat(EVERYTHING, asset=beat.asset, **{"name": "other", **given})  # type: ignore[arg-type]


def test_another_clients_is_not_there(beat: Heartbeat) -> None:
    foreign = scope_for(make_client())
    assert find_heartbeat(foreign, beat.pk) is None
    assert list_heartbeats(foreign) == []
    note_ping(beat.pk, heard("ok", 0))
    assert list_pings(foreign, beat) == []
    assert Ping.objects.count() == 1
