"""What an opaque S/MIME message holds: the signed bytes out of their CMS envelope. Pure; nothing is verified.

Source: RFC 5652, sections 3, 5.1 and 6.1; ITU-T X.690 for the encoding (BER, lengths may be indefinite).
"""

DEPTH_MAX = 12
STEPS_MAX = 20_000
SIGNED, ENVELOPED = bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010703")

_END = (0, 0)


class NotEnveloped(ValueError):
    """It is no CMS message that can be read here."""


def signed_content(data: bytes) -> bytes:
    """What was signed. Raises NotEnveloped."""
    reader = _Reader(data)
    outer = reader.children(0, len(data))[:1]
    if not outer:
        raise NotEnveloped("nothing is in it")
    parts = reader.children(*outer[0][1:])
    if len(parts) < 2 or data[parts[0][1] : parts[0][2]] != SIGNED:
        raise NotEnveloped("it is not signed data")
    signed = reader.children(*parts[1][1:])[:1]
    fields = reader.children(*signed[0][1:]) if signed else []
    if len(fields) < 3:
        raise NotEnveloped("it has no content")
    inner = reader.children(*fields[2][1:])
    if len(inner) < 2:
        raise NotEnveloped("its content is elsewhere")
    return b"".join(reader.octets(*inner[1], depth=0))


def is_enveloped(data: bytes) -> bool:
    """Whether it is encrypted."""
    return ENVELOPED in data[:64]


class _Reader:
    """Elements as (tag, begin of contents, end of contents); work is bounded by STEPS_MAX elements."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._steps = 0

    def children(self, at: int, end: int) -> list[tuple[int, int, int]]:
        """The elements between two places."""
        found = []
        while at < end:
            tag, begin, stop, after = self._element(at, end, 0)
            if (tag, stop - begin) == _END and after - at == 2:
                break
            found.append((tag, begin, stop))
            at = after
        return found

    def octets(self, tag: int, begin: int, end: int, *, depth: int) -> list[bytes]:
        """The octets of an element: its own, or those of the strings that it is made of."""
        if depth > DEPTH_MAX:
            raise NotEnveloped("it is nested too deep")
        if tag & 0x1F == 4 and not tag & 0x20:
            return [self._data[begin:end]]
        return [part for one in self.children(begin, end) for part in self.octets(*one, depth=depth + 1)]

    def _element(self, at: int, end: int, depth: int) -> tuple[int, int, int, int]:
        """Tag, begin and end of the contents, and where the next element begins."""
        self._steps += 1
        if self._steps > STEPS_MAX or depth > DEPTH_MAX or at + 2 > end:
            raise NotEnveloped("it is cut, or too deep")
        tag, length = self._data[at], self._data[at + 1]
        if tag & 0x1F == 0x1F:
            raise NotEnveloped("it has tags that are not of CMS")
        begin = at + 2
        if length == 0x80:
            place = begin
            while True:
                inner, first, stop, after = self._element(place, end, depth + 1)
                if (inner, stop - first) == _END and after - place == 2:
                    return tag, begin, place, after
                place = after
        if length & 0x80:
            count = length & 0x7F
            if count > 6 or begin + count > end:
                raise NotEnveloped("it has an impossible length")
            length = int.from_bytes(self._data[begin : begin + count], "big")
            begin += count
        if begin + length > end:
            raise NotEnveloped("it ends too early")
        return tag, begin, begin + length, begin + length
