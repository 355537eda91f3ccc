"""The telemetry in a backup: parts of the store's tables, frozen as hard links, and attached again.

`ALTER TABLE … FREEZE` takes milliseconds and no room: a part never changes once it is written, so a link to
its files is a copy as of that instant (ClickHouse documentation, "Manipulating partitions and parts"). It
needs the store's files on this machine; a ClickHouse cluster is backed up by its own BACKUP statement.
"""

import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from forestall.keeping.archive import TableState
from forestall.kernel.errors import Trouble
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.schema import DATABASE

SHADOW = "shadow"
PREFIX = "backup_"
TABLES_MAX = 100
# Rows of these refer to rows of other tables (a template, for example), which were written before them. So
# they are frozen first: whatever they refer to is then in what is frozen after them.
FIRST = ("logs", "samples")
_PART = re.compile(r"[0-9a-zA-Z-]+(_\d+){3,4}")
_DAY_ID = re.compile(r"(\d{4})(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class Frozen:
    """A table's parts in the shadow directory, and how many rows they have together."""

    table: str
    create: str
    parts: tuple[Path, ...]
    rows: int

    def state(self) -> TableState:
        """As the manifest has it."""
        return TableState(self.table, self.create, self.rows, len(self.parts))


@contextmanager
def shadow(telemetry: Path) -> Iterator[str]:
    """A name to freeze under; what was frozen under it, or left by a backup that was killed, is let go."""
    _clear(telemetry)
    name = PREFIX + secrets.token_hex(8)
    try:
        yield name
    finally:
        shutil.rmtree(telemetry / SHADOW / name, ignore_errors=True)


def freeze(store: Store, telemetry: Path, name: str, *, days: int | None) -> list[Frozen]:
    """Freeze every table of the telemetry. `days`: only partitions of the last days (None: all).

    Raises Trouble when the store does not answer or its files are not on this machine.
    """
    try:
        tables = _tables(store)
        for table, _, _, _ in tables:
            store.command(f"ALTER TABLE {DATABASE}.`{table}` FREEZE WITH NAME '{name}'")
        rows_of = _rows_of_parts(store)
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble(
            f"the telemetry cannot be frozen: {error}",
            "Is the store running? Look with forestall doctor, or back up with --telemetry none.",
        ) from error
    since = None if days is None else datetime.now(UTC).date() - timedelta(days=days)
    frozen = []
    for table, create, key, folder in tables:
        place = telemetry / SHADOW / name / folder.relative_to(telemetry)
        parts = sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
        wanted = tuple(part for part in parts if _is_wanted(part, key, since))
        if gone := [part.name for part in wanted if (table, part.name) not in rows_of]:
            raise Trouble(f"the part {gone[0]} of {table} was dropped at the same moment", "Try again.")
        rows = sum(rows_of[table, part.name] for part in wanted)
        frozen.append(Frozen(table, create, wanted, rows))
    return frozen


def attach(store: Store, tables: Sequence[TableState], frozen: Path) -> None:
    """Make the tables and attach their parts from `frozen`/TABLE/PART. Raises Trouble when a table does not
    have as many rows as were backed up."""
    try:
        for table in tables:
            store.command(table.create)
            folder = _tables_by_name(store)[table.name] / "detached"
            for part in sorted((frozen / table.name).iterdir()) if table.parts else ():
                part.rename(folder / part.name)
                store.command(f"ALTER TABLE {DATABASE}.`{table.name}` ATTACH PART '{part.name}'")
            rows = int(store.select(f"SELECT count() FROM {DATABASE}.`{table.name}`")[0][0])  # noqa: S608
            if rows != table.rows and " ENGINE = MergeTree " in table.create:  # others merge rows into one
                raise Trouble(
                    f"the table {table.name} has {rows} rows after the restore, not {table.rows}",
                    "Take another backup.",
                )
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble(f"the telemetry cannot be attached: {error}", "Take another backup.") from error


def check_table(table: TableState) -> None:
    """Raises Trouble for a table that a backup would not have."""
    if not re.fullmatch(r"\w{1,64}", table.name) or not table.create.startswith(
        f"CREATE TABLE {DATABASE}.{table.name} "
    ):
        raise Trouble(
            f"the backup has a table {table.name!r} that is none of ours", "This is not one of our backups."
        )


def is_part_name(name: str) -> bool:
    """Whether that is the name of a part (a directory) of a table."""
    return _PART.fullmatch(name) is not None


def _tables(store: Store) -> list[tuple[str, str, str, Path]]:
    """(name, how it is made, its partition key, its directory), in the order in which they are frozen."""
    rows = store.select(
        "SELECT name, create_table_query, partition_key, data_paths[1] FROM system.tables"
        " WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name",
        {"database": DATABASE},
    )[:TABLES_MAX]
    found = [(str(row[0]), str(row[1]), str(row[2]), Path(str(row[3]))) for row in rows]
    return sorted(found, key=lambda row: (row[0] not in FIRST, row[0]))


def _rows_of_parts(store: Store) -> dict[tuple[str, str], int]:
    """By table and part; also parts that were merged since, which stay for some minutes."""
    rows = store.select(
        "SELECT table, name, rows FROM system.parts WHERE database = {database:String}",
        {"database": DATABASE},
    )
    return {(str(row[0]), str(row[1])): int(row[2]) for row in rows}


def _tables_by_name(store: Store) -> dict[str, Path]:
    return {name: folder for name, _, _, folder in _tables(store)}


def _is_wanted(part: Path, key: str, since: date | None) -> bool:
    """Whether a part is young enough. What is partitioned neither by day nor by month is always taken."""
    name = part.name.split("_")[0]
    if since is None:
        return True
    if "toYYYYMM(" in key:
        return not re.fullmatch(r"\d{6}", name) or int(name) >= since.year * 100 + since.month
    found = _DAY_ID.fullmatch(name)
    if found is None or ("toDate(" not in key and "toYYYYMMDD(" not in key):
        return True
    return date(int(found[1]), int(found[2]), int(found[3])) >= since


def _clear(telemetry: Path) -> None:
    """Let go of what a killed backup has left frozen. The caller holds the store side at rest, so that it is
    not the backup of somebody else."""
    for path in (telemetry / SHADOW).glob(f"{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
