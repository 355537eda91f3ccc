"""What the first kilobytes of a dump say of it: format, database, and the versions of server and tool. A look
reads these of the newest dump, packed or not; a check reads all of it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from forestall.collect.backups.dumps import (
    Inside,
    Packed,
    Unsound,
    first_of,
    inside_of,
    named_in,
    packed_as,
)

PGDMP = b"PGDMP"
PLAIN: Packed = "plain"
STRING_MAX = 1_024
LZ4_SINCE = (1, 15)  # from this format on the compression is a byte, before it was a number


@dataclass(frozen=True, slots=True)
class Heading:
    """What is not said is empty."""

    packed: Packed = PLAIN
    inside: Inside = "unknown"
    database: str = ""
    server: str = ""
    tool: str = ""

    def settings(self) -> dict[str, str]:
        """As a look reports it."""
        named = {"database": self.database, "server version": self.server, "dump version": self.tool}
        return {name: value[:200] for name, value in named.items() if value}


def heading_of(path: Path) -> Heading:
    """Of a dump, or of a directory that pg_dump wrote. What cannot be read says nothing: whoever looks at the
    whole file tells what is wrong with it."""
    data, kind = b"", PLAIN
    file = path / "toc.dat" if path.is_dir() else path
    with contextlib.suppress(OSError, Unsound):
        with file.open("rb") as opened:
            kind = packed_as(opened.read(8))
        data = first_of(file)
    if data.startswith(PGDMP):
        try:
            return _of_archive(data, kind)
        except ValueError:
            return Heading(kind, "pgdmp")
    names, server, tool = named_in(data)
    return Heading(kind, inside_of(data), next(iter(names), ""), server, tool)


def wrong_database(path: Path, wanted: str) -> str:
    """What to say of a dump that names another database than the plan's; "" when it names none."""
    if not wanted:
        return ""
    there = heading_of(path).database
    if not there or there == wanted:
        return ""
    return f"it is of database {there}, and {wanted} was to be saved: the job dumps the wrong one"


def _of_archive(data: bytes, kind: Packed) -> Heading:
    """The head of pg_dump's custom and directory format. Raises ValueError. Source: PostgreSQL,
    src/bin/pg_dump/pg_backup_archiver.c, ReadHead."""
    if len(data) < 12:
        raise ValueError("cut short")
    version, size = (data[5], data[6]), data[8]
    if not 1 <= size <= 8:
        raise ValueError("no size of numbers")
    at = 11

    def number() -> int:
        nonlocal at
        field = data[at : at + 1 + size]
        if len(field) < 1 + size:
            raise ValueError("cut short")
        at += 1 + size
        value = int.from_bytes(field[1:], "little")
        return -value if field[0] else value

    def text() -> str:
        nonlocal at
        length = number()
        if length < 0:
            return ""
        if length > min(STRING_MAX, len(data) - at):
            raise ValueError("a text that is too long")
        at += length
        return data[at - length : at].decode("utf-8", "replace")

    if version >= LZ4_SINCE:
        at += 1
    else:
        number()
    for _ in range(7):  # when it was made
        number()
    return Heading(kind, "pgdmp", text(), text().partition(" ")[0], text().partition(" ")[0])
