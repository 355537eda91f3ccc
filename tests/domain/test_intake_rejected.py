"""Refused input in the database: aggregated, bounded, and seen by nobody whom it does not concern."""

from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.estate.models import Collector
from forestall.estate.tenancy import NOBODY
from forestall.intake import actions
from forestall.intake.actions import record_rejections
from forestall.intake.models import RejectedInput
from forestall.intake.queries import count_rejected, find_rejected, list_rejected, load_directory
from forestall.intake.values import RAW_MAX_BYTES, Rejection
from forestall.kernel.clock import VirtualClock, to_ms
from forestall.kernel.errors import Rejected

pytestmark = pytest.mark.django_db

AT_MS = to_ms(START)
HOUR_MS = 3_600_000


def rejection(reason: str = "no", **fields: object) -> Rejection:
    given = {"door": "syslog", "sender": "10.0.0.9", "at_ms": AT_MS, "raw": b"x"} | fields
    return Rejection(reason=reason, **given)  # type: ignore[arg-type]


def test_the_same_within_an_hour_is_one_row() -> None:
    assert record_rejections([rejection(count=3), rejection(at_ms=AT_MS + 5000), rejection("other")]) == 5
    record_rejections([rejection(at_ms=AT_MS + HOUR_MS - 1)])
    record_rejections([rejection(at_ms=AT_MS + HOUR_MS + 1)])
    rows = {(row.reason, row.count) for row in list_rejected(EVERYTHING)}
    assert rows == {("no", 5), ("other", 1), ("no", 1)}
    assert count_rejected(EVERYTHING, since=START) == 7
    assert count_rejected(EVERYTHING, since=START + timedelta(hours=1)) == 1


def test_long_input_is_cut() -> None:
    record_rejections([rejection("r" * 600, sender="s" * 200, raw=b"x" * 10_000)])
    (row,) = list_rejected(EVERYTHING)
    assert (len(row.reason), len(row.sender), len(row.raw)) == (500, 160, RAW_MAX_BYTES)


def test_many_kinds_at_once_do_not_fill_the_table() -> None:
    record_rejections([rejection(sender=str(k)) for k in range(actions.ROWS_PER_CALL_MAX + 50)])
    assert RejectedInput.objects.count() == actions.ROWS_PER_CALL_MAX + 1
    assert RejectedInput.objects.get(sender=actions.OTHERS).count == 50


def test_who_sees_what_was_refused() -> None:
    acme, other = make_client(), make_client()
    record_rejections([rejection(client=acme.pk), rejection("nobody's"), rejection("gone", client="0" * 13)])
    assert {row.reason for row in list_rejected(EVERYTHING)} == {"no", "nobody's", "gone"}
    (mine,) = list_rejected(scope_for(acme))
    assert mine.reason == "no"
    assert find_rejected(scope_for(acme), mine.pk) == mine
    assert list_rejected(scope_for(other)) == list_rejected(NOBODY) == []
    assert find_rejected(scope_for(other), mine.pk) is None
    assert count_rejected(scope_for(other), since=START) == 0
    assert len(list_rejected(EVERYTHING, client=acme.pk)) == 1
    assert len(list_rejected(EVERYTHING, door="agent")) == 0
    first, second, third = list_rejected(EVERYTHING)
    assert first.last_at == second.last_at == third.last_at
    assert list_rejected(EVERYTHING, after=(first.last_at, first.pk)) == [second, third]


def test_the_directory_holds_what_is_in_use() -> None:
    acme = make_client(timezone="Europe/Berlin")
    server = make_asset(acme, "srv", addresses=["10.0.0.5", 7])
    old = make_asset(acme, "old", addresses=["10.0.0.6"], archived_at=START)
    kept, revoked = (
        Collector.objects.create(
            client=acme, asset=server, public_key=b"k", key_since=START, enrolled_at=START, revoked_at=revoked
        )
        for revoked in (None, START)
    )
    directory = load_directory(EVERYTHING, VirtualClock(START))
    place = directory.place_of_peer("10.0.0.5")
    assert not isinstance(place, Rejected)
    assert (place.client, place.asset) == (acme.pk, server.pk)
    assert isinstance(directory.place_of_peer("10.0.0.6"), Rejected)
    assert directory.place(old.pk, client=acme.pk) is None
    assert directory.collector(kept.pk) is not None
    assert directory.collector(revoked.pk) is None
    assert directory.zone_ms(acme.pk, AT_MS) == HOUR_MS
    assert directory.loaded_at_ms == AT_MS
    assert len(load_directory(NOBODY, VirtualClock(START))) == 0
