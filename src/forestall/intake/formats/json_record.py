"""One record that is a JSON object, whatever it looks like: the definition of what `json_columns` reads.

The columns reader reads the plain records to the same result and passes on to here all others. Lenient where
senders are known to be careless (control characters in strings, NaN, halves of surrogate pairs, bytes that
are no UTF-8). Pure.

Source: RFC 8259; NDJSON (github.com/ndjson/ndjson-spec).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from forestall.intake.formats.fields import (
    ATTR_NAME_MAX_BYTES,
    ATTRS_MAX_BYTES,
    ATTRS_MAX_COUNT,
    DEFAULT_FACILITY,
    DEFAULT_SEVERITY,
    HOST_MAX_BYTES,
    ROLES,
    SOURCE_MAX_BYTES,
    Names,
    Role,
    is_believed,
    read_facility,
    read_host,
    read_severity,
    read_time,
)

RECORD_MAX_BYTES = 256 << 10
DEPTH_MAX = 20
FIELDS_MAX = 4096
NAME_MAX_CHARS = 1024  # with the names of the objects around it

WHITE = b" \t\r\n"


class Record(NamedTuple):
    """One record in fields; as a row of `intake.pushed.PushedLogs`."""

    at_ms: int
    severity: int
    facility: int
    host: str
    source: str
    message: str
    raw: str
    attrs: str


class _Object(list[tuple[str, Any]]):
    """The members of an object, in order, doubles kept."""


_SURROGATES = re.compile("[\ud800-\udfff]")
_decode = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_Object, strict=False
).decode


def read_record(record: bytes, names: Names, received_at_ms: int) -> Record:
    """The fields of a record. Raises ValueError with what is wrong with it."""
    if len(record) > RECORD_MAX_BYTES:
        raise ValueError(f"a record has at most {RECORD_MAX_BYTES} bytes, this one has more")
    text = record.strip(WHITE).decode("utf-8", "replace")
    try:
        found = _decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH_MAX}") from None
    if not isinstance(found, _Object):
        raise ValueError("a record is a JSON object in braces, on one line")
    return assemble(flatten(found), names, received_at_ms, record)


def flatten(members: list[Any]) -> dict[str, str]:
    """Every value by its name with dots, as text. What is null or empty is left out; the values of an array,
    and of a name that comes again, are joined with commas. Raises ValueError for too many or too deep."""
    pairs: dict[str, list[str]] = {}
    for count, (name, text) in enumerate(_leaves(members, "", 1)):
        if count >= FIELDS_MAX:
            raise ValueError(f"a record has at most {FIELDS_MAX} values")
        pairs.setdefault(name, []).append(text)
    return {name: ",".join(values) for name, values in pairs.items()}


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """The values below a value, in order, with their names."""
    if isinstance(value, list):
        if depth > DEPTH_MAX:
            raise ValueError(f"nested deeper than {DEPTH_MAX}")
        for inner in value:
            if isinstance(value, _Object):
                full, inner = f"{name}.{inner[0]}" if depth > 1 else inner[0], inner[1]
                if len(full) > NAME_MAX_CHARS:
                    raise ValueError(f"a name has at most {NAME_MAX_CHARS} characters")
                yield from _leaves(inner, full, depth + 1)
            else:
                yield from _leaves(inner, name, depth + 1)
    elif text := _text(value):
        yield name, text


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else "true" if value else "false"


def assemble(pairs: dict[str, str], names: Names, received_at_ms: int, record: bytes) -> Record:
    """What the fields mean together. `raw` is the record when something of it is cut or replaced; a record
    without a message is its own message."""
    chosen = _choose(pairs, names)
    texts = [pairs[name] if name else "" for name in chosen]
    host, source = _clean(read_host(chosen[Role.HOST], texts[Role.HOST])), _clean(texts[Role.SOURCE].strip())
    short_host, short_source = _cut(host, HOST_MAX_BYTES), _cut(source, SOURCE_MAX_BYTES)
    taken = {chosen[role] for role in (Role.MESSAGE, Role.HOST, Role.SOURCE)}
    at_ms = read_time(texts[Role.TIME])
    if at_ms is not None and is_believed(at_ms, received_at_ms):
        taken.add(chosen[Role.TIME])
    else:
        at_ms = received_at_ms
    severity, facility = DEFAULT_SEVERITY, -1
    if understood := read_severity(chosen[Role.SEVERITY], texts[Role.SEVERITY]):
        severity, facility = understood
        taken.add(chosen[Role.SEVERITY])
    number = read_facility(texts[Role.FACILITY])
    if number is not None:
        facility = number
        taken.add(chosen[Role.FACILITY])
    taken.discard("")
    attrs, cut = spell_attrs({name: text for name, text in pairs.items() if name not in taken})
    cut = cut or short_host != host or short_source != source
    if chosen[Role.MESSAGE]:
        message = _clean(texts[Role.MESSAGE]).rstrip("\r\n")
    else:
        message = record.strip(WHITE).decode("utf-8", "replace")
    return Record(
        at_ms, severity, DEFAULT_FACILITY if facility < 0 else facility, short_host, short_source, message,
        record.strip(WHITE).decode("utf-8", "backslashreplace") if cut or not _is_text(record) else "", attrs,
    )  # fmt: skip


def _choose(pairs: dict[str, str], names: Names) -> list[str]:
    """The name that has each role, "" when none has."""
    chosen, best = [""] * ROLES, [1 << 30] * ROLES
    for name in pairs:
        role, rank = names.roles.get(name, (Role.ATTR, 0))
        if role and rank < best[role]:
            chosen[role], best[role] = name, rank
    return chosen


def spell_attrs(pairs: dict[str, str]) -> tuple[str, bool]:
    """`{"name":"text"…}` of as much as fits, "" of nothing; and whether something did not fit."""
    kept: dict[str, str] = {}
    size, cut = 2, False
    for name, text in pairs.items():
        clean_name, clean = _clean(name), _clean(text)
        pair = len(msgspec.json.encode(clean_name)) + len(msgspec.json.encode(clean)) + 2
        if (
            len(kept) >= ATTRS_MAX_COUNT
            or size + pair > ATTRS_MAX_BYTES
            or len(clean_name.encode()) > ATTR_NAME_MAX_BYTES
            or clean_name in kept
        ):
            cut = True
            continue
        kept[clean_name] = clean
        size += pair
    return (msgspec.json.encode(kept).decode() if kept else ""), cut


def _clean(text: str) -> str:
    """Halves of surrogate pairs are no characters."""
    return _SURROGATES.sub("\ufffd", text)


def _cut(text: str, most: int) -> str:
    """As much of a text as `most` bytes hold."""
    encoded = text.encode()
    return text if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


def _is_text(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True
