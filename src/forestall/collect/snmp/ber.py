"""The few pieces of BER that SNMP messages are made of, for the one exchange that finds out why a device does
not answer (`diagnosis`). The data itself is decoded by gufo-snmp.

Source: ITU-T X.690; RFC 3416 (PDUs), RFC 3412 (v3 messages).
"""

from typing import NamedTuple

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
GET, GET_NEXT, RESPONSE, GET_BULK, REPORT = 0xA0, 0xA1, 0xA2, 0xA5, 0xA8
MESSAGE_MAX_BYTES = 65_507
PARTS_MAX = 10_000


class Part(NamedTuple):
    """A type and its content; `end` is where the next one begins."""

    tag: int
    content: bytes
    end: int


def encode(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def encode_integer(value: int, tag: int = INTEGER) -> bytes:
    """A whole number in as few bytes as hold its sign."""
    return encode(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def encode_oid(text: str) -> bytes:
    """`1.3.6.1.2.1.1.3.0`. Raises ValueError when it is none."""
    numbers = [int(part) for part in text.split(".")]
    if len(numbers) < 2 or numbers[0] > 2:
        raise ValueError(f"{text!r} is not an OID")
    content = bytearray()
    for number in (numbers[0] * 40 + numbers[1], *numbers[2:]):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        content += bytes(reversed(septets))
    return encode(OID, bytes(content))


def decode(data: bytes, start: int = 0) -> Part:
    """The element that begins at `start`. Raises ValueError when it is cut short or too long."""
    if len(data) < start + 2:
        raise ValueError("the message is cut short")
    tag, size, at = data[start], data[start + 1], start + 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or len(data) < at + count:
            raise ValueError("the message has an impossible length")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > len(data):
        raise ValueError("the message is cut short")
    return Part(tag, data[at : at + size], at + size)


def decode_all(data: bytes) -> list[Part]:
    """The elements of a sequence's content. Raises ValueError."""
    found: list[Part] = []
    at = 0
    while at < len(data):
        if len(found) >= PARTS_MAX:
            raise ValueError(f"the message has more than {PARTS_MAX} parts")
        part = decode(data, at)
        found.append(part)
        at = part.end
    return found


def decode_integer(part: Part) -> int:
    """A whole number. Raises ValueError for another type."""
    if part.tag != INTEGER:
        raise ValueError(f"a whole number was expected, not type {part.tag:#x}")
    return int.from_bytes(part.content, "big", signed=True)


def decode_oid(part: Part) -> str:
    """`1.3.6.1…`. Raises ValueError for another type, or none at all."""
    if part.tag != OID or not part.content or part.content[-1] & 0x80:
        raise ValueError("an OID was expected")
    numbers: list[int] = []
    number = 0
    for byte in part.content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
