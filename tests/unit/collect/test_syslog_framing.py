"""Framing of syslog over TCP: octet counts and newlines, mixed, in any pieces."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.parsers.syslog_framing import Framing
from forestall.collect.receiving.datagrams import read_drops
from forestall.collect.receiving.handing import in_frames, plain_address


def feed_all(data: bytes, size: int, most: int = 1000) -> tuple[list[bytes], Framing]:
    framing = Framing(most)
    messages = []
    for at in range(0, len(data), size):
        messages += framing.feed(data[at : at + size])
    return messages + framing.finish(), framing


MESSAGE = st.binary(max_size=40).map(lambda data: b"<13>" + data.replace(b"\n", b"").rstrip(b"\r\0"))


@given(st.lists(st.tuples(MESSAGE, st.booleans()), max_size=12), st.integers(1, 50))
def test_mixed_framing_in_any_pieces(messages: list[tuple[bytes, bool]], size: int) -> None:
    stream = b"".join(
        b"%d %s" % (len(message), message) if counted else message + b"\n" for message, counted in messages
    )
    assert feed_all(stream, size)[0] == [message for message, _ in messages]


@given(st.binary(max_size=300), st.integers(1, 60))
def test_any_bytes_in_any_pieces(data: bytes, size: int) -> None:
    messages, framing = feed_all(data, size, most=50)
    assert all(0 < len(message) <= 50 for message in messages)
    assert not framing.waiting


def test_counted_messages_may_hold_newlines_and_be_followed_by_one() -> None:
    assert feed_all(b"11 <13>a\nb\nc  \n8 <13>next", 1000)[0] == [b"<13>a\nb\nc  ", b"<13>next"]


def test_a_count_after_the_end_of_a_line_counts_however_the_stream_is_cut() -> None:
    stream = b"<13>one\n\0\r11 <13>a\nb\nc  <13>two\n"
    for size in range(1, len(stream) + 1):
        assert feed_all(stream, size)[0] == [b"<13>one", b"<13>a\nb\nc  ", b"<13>two"], size


def test_a_line_that_starts_with_digits_is_a_line() -> None:
    assert feed_all(b"2026-11-23 x\n12 apples\n7\n", 5)[0] == [b"2026-11-23 x", b"12 apples", b"7"]


def test_too_long_messages_are_cut_and_the_next_is_whole() -> None:
    messages, framing = feed_all(b"<13>" + b"a" * 5000 + b"\n<13>next\n", 700)
    assert [len(message) for message in messages] == [1000, 8]
    assert framing.cut_count == 1
    messages, framing = feed_all(b"5004 <13>" + b"a" * 5000 + b"8 <13>next", 700)
    assert [len(message) for message in messages] == [1000, 8]
    assert framing.cut_count == 1


def test_what_was_begun_is_a_message_when_the_sender_closes() -> None:
    assert feed_all(b"<13>whole\n<13>begun", 4)[0] == [b"<13>whole", b"<13>begun"]
    assert feed_all(b"100 <13>begun", 4)[0] == [b"<13>begun"]


def test_frames_hold_no_more_than_they_may() -> None:
    lines = [b"x" * 100_000] * 25 + [b"y"] * 20_000
    parts = in_frames(lines)
    assert [line for part in parts for line in part] == lines
    assert max(map(len, parts)) <= 8192
    assert max(sum(map(len, part)) for part in parts) <= 1 << 20
    assert in_frames([]) == []


def test_addresses_are_written_one_way() -> None:
    assert plain_address("::ffff:10.0.0.5") == "10.0.0.5"
    assert plain_address("fe80::1%eth0") == "fe80::1"


def test_kernel_drops_are_read_from_its_table(tmp_path: Path) -> None:
    table = tmp_path / "udp"
    table.write_text(
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        " ref pointer drops\n"
        "  123: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2"
        " 0000000000000000 17\n"
    )
    assert read_drops(4711, (str(tmp_path / "none"), str(table))) == 17
    assert read_drops(4712, (str(table),)) is None


@given(
    st.lists(st.sampled_from([b"<1>a", b"<1>" + b"x" * 3000, b"5 apples", b"", b"a\r", b"\0", b"7 <13>abc"])),
    st.integers(1, 9000),
)
def test_many_lines_in_one_piece_are_the_same_lines(lines: list[bytes], step: int) -> None:
    data = b"".join(line + b"\n" for line in lines * 4)
    pieces, single = Framing(2000), Framing(2000)
    whole = [line for at in range(0, len(data), step) for line in pieces.feed(data[at : at + step])]
    slowly = [line for at in range(0, len(data), 100) for line in single.feed(data[at : at + 100])]
    assert whole + pieces.finish() == slowly + single.finish()
    assert pieces.cut_count == single.cut_count
