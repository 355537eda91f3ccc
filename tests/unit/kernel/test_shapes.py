"""Messages come back byte for byte, and the compiled loops do what the definition says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forestall.kernel.shapes import (
    ADDRESS,
    MESSAGE_MAX_BYTES,
    NUMBER,
    UNSHAPED,
    WORD,
    Encoded,
    encode,
    rebuild,
    scan,
    shape_text,
    variables,
)

pieces = st.sampled_from(
    [
        *"ab1.:0 -é9/=\x01\n25",
        "1.2.3.4",
        "255.0.1.9:80",
        ":1.2.3.4",
        ".1.2.3.4",
        "10.0.0.256",
        "fe:12:aa",
        "x" * 200,
    ]
)
messages = st.lists(pieces | st.characters(exclude_categories=["Cs"]), max_size=25).map("".join)


def code(texts: list[str], given: list[str | None] | None = None) -> tuple[list[int], Encoded]:
    """The numbers of the shapes, and the messages coded by the given texts (their own when None)."""
    encoded = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(encoded) + bytes(8), np.uint8)
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    known = [shape_text(text) for text in texts] if given is None else given
    spelled = [(text or "").encode() for text in known]
    scanned = scan(data, ends[:-1], ends[1:])
    coded = encode(
        data,
        ends[:-1],
        ends[1:],
        scanned=scanned,
        place=np.array([-1 if text is None else n for n, text in enumerate(known)], np.int32),
        texts=np.frombuffer(b"".join(spelled) + bytes(1), np.uint8),
        text_at=np.cumsum([0, *map(len, spelled)]).astype(np.int64),
    )
    return scanned.numbers.tolist(), coded


def strings(column: np.ndarray) -> list[str]:
    found, data, at = [], bytes(column), 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.append(data[at : at + length].decode())
        at += length
    return found


def addresses(coded: Encoded, row: int) -> tuple[int, ...]:
    begin = int(coded.addresses_end[row - 1]) if row else 0
    return tuple(coded.addresses[begin : int(coded.addresses_end[row])].tolist())


code(["compiled here 1 a1 1.2.3.4"])  # so that no example pays for it


@given(st.lists(messages, max_size=6))
def test_the_compiled_loops_do_what_the_definition_says(texts: list[str]) -> None:
    numbers, coded = code(texts)
    shapes = [shape_text(text) for text in texts]
    for row, (text, shape) in enumerate(zip(texts, shapes, strict=True)):
        found = variables(text)
        assert addresses(coded, row) == found.addresses
        if shape is None:
            assert coded.whole[row]
            assert numbers[row] == UNSHAPED
            assert strings(coded.words)[row] == text
        else:
            assert not coded.whole[row]
            assert (strings(coded.numbers)[row], strings(coded.words)[row]) == found[:2]
            assert rebuild(shape, *found) == text
    for one, shape in zip(numbers, shapes, strict=True):
        for other, another in zip(numbers, shapes, strict=True):
            assert (one == other) == (shape == another)


@given(messages, messages)
def test_a_text_that_is_not_the_message_s_own_is_not_used(text: str, other: str) -> None:
    _, coded = code([text], [shape_text(other)])
    assert bool(coded.whole[0]) == (shape_text(text) is None or shape_text(text) != shape_text(other))
    if coded.whole[0]:
        assert strings(coded.words) == [text]
        assert strings(coded.numbers) == [""]


def test_what_varies() -> None:
    text = "Failed password for root from 10.4.7.19:52114 on fe:12:0a at 06:25:01 by v1.2"
    assert shape_text(text) == (
        f"Failed password for root from {ADDRESS}:{NUMBER} on {WORD} at {NUMBER} by {WORD}"
    )
    assert variables(text) == ("52114 06:25:01", "fe:12:0a v1.2", (0x0A040713,))
    assert (
        shape_text("ffff:10.0.0.7:443 10.0.0.7. 10.0.0.7.a") == f"ffff:{ADDRESS}:{NUMBER} {ADDRESS}. {WORD}"
    )
    assert variables("01.2.3.4 1.2.3.256 1.2.3 1.2.3.4.5") == ("01.2.3.4 1.2.3.256 1.2.3 1.2.3.4.5", "", ())


def test_what_can_only_be_kept_whole() -> None:
    assert shape_text("a \x02 b") is None
    assert shape_text("a" * (MESSAGE_MAX_BYTES + 1)) is None
    assert shape_text("a" * MESSAGE_MAX_BYTES) is not None
