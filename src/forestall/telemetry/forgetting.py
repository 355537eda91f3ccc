"""Deleting all telemetry of one client, at once and for good: rows are rewritten away, not hidden."""

import time

from forestall.telemetry.client import Store, StoreUnavailable
from forestall.telemetry.schema import DATABASE

POLL_S = 0.2
COUNT_S = 120.0


def count_rows(store: Store, client: int) -> dict[str, int]:
    """A client's rows by table, of every table that has clients. Raises StoreUnavailable, StoreRefused."""
    return {
        table: int(
            store.select(
                f"SELECT count() FROM {DATABASE}.`{table}` WHERE client = {int(client)}", timeout_s=COUNT_S
            )[0][0]
        )
        for table in tables_of_clients(store)
    }


def tables_of_clients(store: Store) -> list[str]:
    """The tables whose rows belong to clients."""
    rows = store.select(
        "SELECT DISTINCT c.table FROM system.columns AS c JOIN system.tables AS t"
        " ON t.database = c.database AND t.name = c.table"
        " WHERE c.database = {database:String} AND c.name = 'client' AND t.engine LIKE '%MergeTree'"
        " ORDER BY c.table",
        {"database": DATABASE},
    )
    return [str(row[0]) for row in rows]


def tables_of_nobody(store: Store) -> list[str]:
    """The tables whose rows belong to no client."""
    rows = store.select(
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        {"database": DATABASE},
    )
    return sorted({str(row[0]) for row in rows} - set(tables_of_clients(store)))


def forget_client(store: Store, client: int, *, wait_s: float) -> None:
    """Rewrite every part that has rows of the client without them, and wait until it is done.

    Raises StoreUnavailable when it takes longer than `wait_s` (it goes on; call again), StoreRefused.
    """
    deadline = time.monotonic() + wait_s
    for table, rows in count_rows(store, client).items():
        if rows:
            store.command(
                f"ALTER TABLE {DATABASE}.`{table}` DELETE WHERE client = {int(client)}"
                " SETTINGS mutations_sync = 0"
            )
    while left := {table: rows for table, rows in count_rows(store, client).items() if rows}:
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"rows of the client are still there: {left}")
        time.sleep(POLL_S)
