"""Zabbix packets and SNMP messages: any bytes are read or refused, and never worked on without end."""

import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.collect.parsers.snmp_trap import NotTrap, authority_of, read_trap, version_of
from forestall.collect.parsers.zabbix import (
    DATA_MAX_BYTES,
    Head,
    NotZabbix,
    decompress,
    head_size,
    in_parts,
    read_head,
    read_request,
)

NOW = 1_700_000_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
VALUE = st.fixed_dictionaries(
    {},
    optional={
        "host": st.text(max_size=10),
        "key": st.text(max_size=10),
        "value": st.none() | st.text(max_size=30) | st.integers() | st.floats(),
        "clock": st.integers() | st.floats() | st.text(max_size=12),
        "ns": st.integers() | st.text(max_size=12),
        "state": st.integers(0, 1),
        "other": JSON,
    },
)


def is_head(data: bytes) -> None:
    head = read_head(data.ljust(head_size(data), b"\0"))
    assert max(head) <= DATA_MAX_BYTES


@given(st.binary(min_size=5, max_size=40) | st.binary(max_size=16).map(lambda rest: b"ZBXD\x07" + rest))
def test_any_head(data: bytes) -> None:
    try:
        is_head(data)
    except NotZabbix as error:
        assert str(error)


@given(st.binary(max_size=400), st.integers(1, 1000))
def test_any_compressed_data(data: bytes, said: int) -> None:
    for packed in (data, zlib.compress(data)):
        try:
            assert decompress(packed, Head(len(packed), said)) == data and len(data) == said
        except NotZabbix:
            assert packed is data or len(data) != said


@given(st.binary(max_size=300) | JSON.map(lambda content: json.dumps(content).encode()))
def test_any_request(data: bytes) -> None:
    try:
        request = read_request(data, received_at_ms=NOW)
    except NotZabbix as error:
        assert str(error)
    else:
        assert len(request.numbers) + len(request.lines) + sum(request.refused.values()) == request.total


@given(st.lists(VALUE, max_size=20))
def test_every_value_is_taken_or_refused(values: list[dict[str, object]]) -> None:
    try:
        data = json.dumps({"request": "sender data", "data": values}).encode()
        request = read_request(data, received_at_ms=NOW)
    except NotZabbix:
        return
    assert request.total == len(values)
    assert len(request.numbers) + len(request.lines) + sum(request.refused.values()) == request.total
    for one in (*request.numbers, *request.lines):
        assert 0 < one.at_ms < 1 << 47 and one.host
    parts = list(in_parts(request))
    assert [line for lines, _ in parts for line in lines] == request.lines
    assert [number for _, numbers in parts for number in numbers] == request.numbers


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_no_trap_or_one(data: bytes) -> None:
    for read in (version_of, read_trap, authority_of):
        try:
            read(data)
        except NotTrap as error:
            assert str(error)


def whole(pdu: bytes) -> bytes:
    return b"\x30" + struct.pack("B", len(pdu)) + pdu


VARBINDS = (
    bytes.fromhex("300d06082b06010201010300430110")  # sysUpTime.0 = 16
    + bytes.fromhex("3017060a2b06010603010104010006092b0601060301010503")  # snmpTrapOID.0 = linkDown
    + bytes.fromhex("300f060a2b060102010202010107020107")  # ifIndex.7 = 7
)
BODY = bytes.fromhex("020101020100020100") + whole(VARBINDS)
TRAP = whole(b"\x02\x01\x01\x04\x06public" + b"\xa7" + struct.pack("B", len(BODY)) + BODY)


def test_a_trap_is_read() -> None:
    trap, answer = read_trap(TRAP)
    assert (trap.oid, trap.uptime, trap.number, answer) == ("1.3.6.1.6.3.1.1.5.3", 16, 1, b"")
    assert trap.line(at_ms=NOW).message == "linkDown ifIndex.7=7"
    assert "public" not in repr(trap)


@settings(deadline=None)  # the first one loads pysnmp
@given(st.data())
def test_a_trap_with_any_bytes_changed(data: st.DataObject) -> None:
    changed = bytearray(TRAP)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        trap, _ = read_trap(bytes(changed))
        trap.line(at_ms=NOW)
    except NotTrap as error:
        assert "public" not in str(error)


def test_deep_and_endless_messages_are_refused() -> None:
    with pytest.raises(NotTrap):
        version_of(b"\x30\x80" * 30_000)
    deep = b""
    for _ in range(40):
        deep = b"\x30\x82" + struct.pack(">H", len(deep)) + deep
    with pytest.raises(NotTrap):
        version_of(deep)
    with pytest.raises(NotTrap):
        version_of(b"\x30\x82" + struct.pack(">H", 60_000) + b"\x05\x00" * 30_000)
