"""Retention against the real store: what is held stays, whole days go as partitions, rewrites are few."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store, write_logs
from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.journal.models import Entry
from forestall.keeping.actions import hold, release_hold
from forestall.keeping.models import Hold
from forestall.keeping.queries import find_hold, list_holds
from forestall.kernel.clock import to_ms
from forestall.kernel.config import Limits
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.processes.keeping import keep
from forestall.telemetry import retention
from forestall.telemetry.client import Store
from forestall.telemetry.retention import DAY_MS, Held, Keep
from forestall.telemetry.write import insert_samples

pytestmark = pytest.mark.django_db
NOW = to_ms(START) + 400 * DAY_MS


@pytest.fixture
def running(tmp_path: Path) -> Iterator[StoreProcess]:
    with start_store(tmp_path / "store") as process:
        yield process


def days_of(store: Store, table: str, client: int, asset: int = 2) -> list[int]:
    """How many days ago a client has rows, youngest first."""
    rows = store.select(
        f"SELECT DISTINCT toUnixTimestamp64Milli(at) FROM forestall.{table}"
        f" WHERE client = {client} AND asset = {asset}"
    )
    return sorted((NOW - int(row[0])) // DAY_MS for row in rows)


def fill(store: Store, client: int, days: list[int], asset: int = 2) -> None:
    """One line and one sample on each of these days, which are equally far apart."""
    step = (days[0] - days[-1]) // max(1, len(days) - 1)
    at = {"client": client, "asset": asset, "at_ms": NOW - days[0] * DAY_MS, "step_ms": step * DAY_MS}
    write_logs(store, log_columns([f"line {day}" for day in days], **at), token=f"{client}/{asset}/logs")
    insert_samples(store, sample_columns([1.0] * len(days), **at), token=f"{client}/{asset}/samples")


def test_what_is_held_stays_and_the_rest_goes(running: StoreProcess) -> None:
    store, days = running.store, [1, 21, 41, 61]
    owner, other = make_client(), make_client()
    machine = make_asset(owner)
    held, free = to_number(owner.pk), to_number(other.pk)
    asset = to_number(machine.pk)
    for client in (held, free):
        fill(store, client, days)
        fill(store, client, days, asset)
    limits = Limits(keep_logs_days=10, keep_samples_days=30)
    span = {"from_at": START + timedelta(days=400 - 45), "to_at": START + timedelta(days=400 - 35)}
    row = hold(EVERYTHING, client=owner.pk, asset=machine.pk, reason="case 12", now=START, **span)

    keep(store, limits, now_ms=NOW)
    assert days_of(store, "logs", free) == [1] and days_of(store, "samples", free) == [1, 21]
    assert days_of(store, "logs", held) == [1]
    assert days_of(store, "logs", held, asset) == [1, 41], "what is held is gone, or more stayed"
    assert days_of(store, "samples", held, asset) == [1, 21, 41]
    done = store.select("SELECT count() FROM system.mutations WHERE table IN ('logs', 'samples')")
    keep(store, limits, now_ms=NOW)
    again = store.select("SELECT count() FROM system.mutations WHERE table IN ('logs', 'samples')")
    assert again == done, "a run with nothing to remove rewrote something"
    assert int(done[0][0]) == 2, "the held day of each table alone is rewritten, other days are dropped"

    release_hold(EVERYTHING, row.pk, now=START)
    keep(store, limits, now_ms=NOW)
    assert days_of(store, "logs", held, asset) == [1]


def test_the_rewrites_of_one_run_are_bounded(running: StoreProcess) -> None:
    days = [5, 6, 7, 8, 9]
    fill(running.store, 7, days)
    fill(running.store, 8, days)
    terms, usual = {7: Keep(2, 2)}, Keep(400, 400)
    removed = retention.apply(running.store, terms, default=usual, now_ms=NOW, rewrites_max=3)
    assert removed["logs"] == 3 and days_of(running.store, "logs", 7) == [5, 6], "the oldest days go first"
    retention.apply(running.store, terms, default=usual, now_ms=NOW)
    assert not days_of(running.store, "logs", 7) and days_of(running.store, "logs", 8) == days


def test_more_holds_than_are_asked_for_hold_whole_clients(running: StoreProcess) -> None:
    fill(running.store, 7, [20])
    fill(running.store, 8, [20])
    many = [Held(7, number, 0, 1) for number in range(retention.HOLDS_MAX + 1)]
    retention.apply(running.store, {}, default=Keep(2, 2), now_ms=NOW, holds=many)
    assert days_of(running.store, "logs", 7) == [20] and not days_of(running.store, "logs", 8)


def test_a_hold_is_journaled_belongs_to_its_client_and_ends() -> None:
    client, other = make_client(), make_client()
    row = hold(EVERYTHING, client=client.pk, reason="case 12", until=START + timedelta(days=3), now=START)
    assert find_hold(scope_for(other), row.pk) is None
    assert not list_holds(scope_for(other)) and [one.pk for one in list_holds(scope_for(client))] == [row.pk]
    assert not list_holds(EVERYTHING, client=client.pk, now=START + timedelta(days=3))
    with pytest.raises(Hold.DoesNotExist):
        release_hold(scope_for(other), row.pk, now=START)
    release_hold(EVERYTHING, row.pk, now=START)
    with pytest.raises(Trouble, match="already"):
        release_hold(EVERYTHING, row.pk, now=START)
    kinds = [entry.kind for entry in Entry.objects.filter(subject=row.pk).order_by("seq")]
    assert kinds == ["hold.made", "hold.released"]
    backwards = {"reason": "x", "from_at": START, "to_at": START}
    for given in ({"reason": " "}, backwards):
        with pytest.raises(Trouble):
            hold(EVERYTHING, client=client.pk, now=START, **given)
