"""The Zabbix sender's and active agent's protocol: packets, requests, values. Pure.

A packet is `ZBXD`, flags, the length of the data and, when the data is compressed, its length before that;
the data is JSON. Lengths are little-endian, u32, or u64 with the flag for large packets.

Source: Zabbix 7.0 manual, appendix "Header", "Zabbix sender protocol", "Passive and active agent checks".
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec import Struct

from forestall.collect.listeners import PushedLine, PushedNumber

HEAD_BYTES = 13
LARGE_HEAD_BYTES = 21
DATA_MAX_BYTES = 4 << 20  # decompressed, too; a sender packs 250 values, an agent a few thousand
VALUES_MAX = 50_000
OBJECTS_MAX = 200_000  # opening braces in the data, those in texts too
KEY_MAX_CHARS = 128  # as a metric's name; of a text's key more is kept
TEXT_MAX_CHARS = 256 << 10
SOURCE = "zabbix"
PART_MAX_CHARS = 1 << 20

_PROTOCOL, _COMPRESSED, _LARGE = 1, 2, 4
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER_MAX_CHARS = 64
_NOT_SUPPORTED = 1
_TEXT_SEVERITY, _PROBLEM_SEVERITY, _FACILITY = 6, 4, 1


class NotZabbix(ValueError):
    """What came is not such a packet; the words say what is wrong."""


class Head(NamedTuple):
    """How many bytes of data follow, and how many they are when they are decompressed (0: they are not)."""

    length: int
    plain_length: int


class _Value(Struct):
    host: str = ""
    key: str = ""
    value: str | int | float | bool | None = None
    clock: int | float | str = 0
    ns: int | float | str = 0
    state: int | str = 0


class _Request(Struct):
    request: str = ""
    host: str = ""
    data: list[_Value] = []


_decoder = msgspec.json.Decoder(_Request, strict=False)


@dataclass(slots=True)
class Request:
    """A request: `kind` as it calls itself. `refused`: reason → how many values could not be used for it."""

    kind: str
    total: int = 0
    numbers: list[PushedNumber] = field(default_factory=list)
    lines: list[PushedLine] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    cut_count: int = 0


def head_size(start: bytes) -> int:
    """How long the head is, from its first five bytes. Raises NotZabbix."""
    if start[:4] != b"ZBXD" or not start[4] & _PROTOCOL or start[4] & ~(_PROTOCOL | _COMPRESSED | _LARGE):
        raise NotZabbix("not the Zabbix protocol: a packet begins with ZBXD and flags")
    return LARGE_HEAD_BYTES if start[4] & _LARGE else HEAD_BYTES


def read_head(head: bytes) -> Head:
    """The whole head. Raises NotZabbix for more than DATA_MAX_BYTES."""
    length, plain = struct.unpack_from("<QQ" if head[4] & _LARGE else "<II", head, 5)
    compressed = bool(head[4] & _COMPRESSED)
    if max(length, plain if compressed else 0) > DATA_MAX_BYTES:
        raise NotZabbix(f"a packet has at most {DATA_MAX_BYTES >> 20} MiB of data: send fewer values at once")
    if compressed and not plain:
        raise NotZabbix("a compressed packet does not say how long it is")
    return Head(length, plain if compressed else 0)


def decompress(data: bytes, head: Head) -> bytes:
    """The data as it was before it was compressed. Raises NotZabbix, never works past its said length."""
    if not head.plain_length:
        return data
    work = zlib.decompressobj()
    try:
        plain = work.decompress(data, head.plain_length + 1)
    except zlib.error as error:
        raise NotZabbix("the data of a packet is not compressed as it says") from error
    if len(plain) != head.plain_length or not work.eof:
        raise NotZabbix("the data of a packet has not the length that its head says")
    return plain


def read_request(data: bytes, *, received_at_ms: int) -> Request:
    """What is asked, and the values that are told. Raises NotZabbix."""
    if data.count(b"{") > OBJECTS_MAX:
        raise NotZabbix(f"a packet has at most {VALUES_MAX} values: send fewer at once")
    try:
        told = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotZabbix(f"not a Zabbix request: {error}") from error
    if len(told.data) > VALUES_MAX:
        raise NotZabbix(f"a packet has at most {VALUES_MAX} values: send fewer at once")
    request = Request(told.request, total=len(told.data))
    for value in told.data:
        reason = _take(request, value, value.host or told.host, received_at_ms)
        if reason:
            request.refused[reason] = request.refused.get(reason, 0) + 1
    return request


def in_parts(
    request: Request,
) -> Iterator[tuple[list[PushedLine], list[PushedNumber]]]:
    """The records in parts of about PART_MAX_CHARS."""
    lines: list[PushedLine] = []
    size = 0
    for line in request.lines:
        lines.append(line)
        size += len(line.message) + len(line.attrs) + len(line.host)
        if size >= PART_MAX_CHARS:
            yield lines, []
            lines, size = [], 0
    numbers: list[PushedNumber] = []
    for number in request.numbers:
        numbers.append(number)
        size += len(number.metric) + len(number.host)
        if size >= PART_MAX_CHARS:
            yield lines, numbers
            lines, numbers, size = [], [], 0
    if lines or numbers:
        yield lines, numbers


def answer(content: dict[str, object]) -> bytes:
    """A packet with an answer."""
    data = msgspec.json.encode(content)
    return b"ZBXD" + struct.pack("<BII", _PROTOCOL, len(data), 0) + data


def _take(request: Request, value: _Value, host: str, received_at_ms: int) -> str:
    """Take one value; the reason why not, or ""."""
    if not host or not value.key:
        return "a value without host or key"
    if value.value is None:
        return "a value without a value"
    at_ms = _time(value.clock, value.ns, received_at_ms)
    text = str(value.value) if not isinstance(value.value, bool) else str(int(value.value))
    supported = str(value.state) != str(_NOT_SUPPORTED)
    number = _number(text) if supported else None
    if number is not None:
        if len(value.key) > KEY_MAX_CHARS:
            return f"a number whose key has more than {KEY_MAX_CHARS} characters"
        request.numbers.append(PushedNumber(host, value.key, "", at_ms, number))
        return ""
    if len(text) > TEXT_MAX_CHARS:
        text = text[:TEXT_MAX_CHARS]
        request.cut_count += 1
    attrs = {"key": value.key} if supported else {"key": value.key, "state": "not supported"}
    severity = _TEXT_SEVERITY if supported else _PROBLEM_SEVERITY
    encoded = msgspec.json.encode(attrs).decode()
    request.lines.append(PushedLine(at_ms, severity, _FACILITY, host, SOURCE, text, encoded))
    return ""


def _number(text: str) -> float | None:
    """The finite number that a text is, if it is one."""
    stripped = text.strip()
    if not stripped or len(stripped) > _NUMBER_MAX_CHARS or not _NUMBER.fullmatch(stripped):
        return None
    number = float(stripped)
    return number if math.isfinite(number) else None


def _time(clock: int | float | str, ns: int | float | str, received_at_ms: int) -> int:
    """Seconds and nanoseconds in ms; the time of receiving when they say none that can be."""
    try:
        at_ms = int(float(clock) * 1000) if isinstance(clock, str | float) else clock * 1000
        at_ms += int(ns) // 1_000_000
    except (ValueError, OverflowError):
        return received_at_ms
    return at_ms if 0 < at_ms < 1 << 47 else received_at_ms
