"""RELP in any pieces, and which messages of a session are copies."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.parsers.relp import COMMAND_DATA_MAX_BYTES, Frame, Frames, NotRelp, answer, read_offers
from forestall.collect.receiving.resent import LAST_MAX, SENDERS_MAX, LastDurable, Resent

MOST = 60


def feed_all(data: bytes, size: int) -> tuple[list[Frame], NotRelp | None, Frames]:
    frames = Frames(MOST)
    found: list[Frame] = []
    for at in range(0, len(data), size):
        more, wrong = frames.feed(data[at : at + size])
        found += more
        if wrong:
            return found, wrong, frames
    return found, None, frames


FRAME = st.builds(
    Frame,
    st.integers(0, 999_999_999),
    st.sampled_from([b"syslog", b"open", b"close", b"rsp"]),
    st.binary(max_size=MOST),
)


@given(st.lists(FRAME, max_size=12), st.integers(1, 50))
def test_frames_in_any_pieces(frames: list[Frame], size: int) -> None:
    stream = b"".join(
        b"%d %s %d %s\n" % (one.number, one.command, len(one.data), one.data)
        if one.data
        else b"%d %s 0\n" % (one.number, one.command)
        for one in frames
    )
    found, wrong, state = feed_all(stream, size)
    assert (found, wrong, state.waiting, state.cut_count) == (frames, None, False, 0)


@given(st.binary(max_size=300), st.integers(1, 60))
def test_any_bytes_in_any_pieces(data: bytes, size: int) -> None:
    found, _, _ = feed_all(data, size)
    assert all(len(one.data) <= max(MOST, COMMAND_DATA_MAX_BYTES) for one in found)
    assert feed_all(data, 1)[0] == feed_all(data, len(data) or 1)[0]


@given(
    st.lists(
        st.sampled_from([b"1 ", b"syslog ", b"3 ", b"abc", b"\n", b"0", b"999999999 ", b"open"]), max_size=20
    )
)
def test_almost_relp_in_any_pieces(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for size in (1, 3, 1000):
        found, wrong, _ = feed_all(data, size)
        assert (found, str(wrong)) == (feed_all(data, 7)[0], str(feed_all(data, 7)[1]))


@given(st.integers(1, 40))
def test_a_message_that_is_too_long_is_cut_and_the_next_is_whole(size: int) -> None:
    stream = b"7 syslog 500 " + b"a" * 500 + b"\n8 syslog 4 next\n"
    found, wrong, state = feed_all(stream, size)
    assert (found, wrong) == ([Frame(7, b"syslog", b"a" * MOST), Frame(8, b"syslog", b"next")], None)
    assert state.cut_count == 1


def test_answers_and_offers() -> None:
    assert answer(7, b"200 OK") == b"7 rsp 6 200 OK\n"
    assert answer(7, b"") == b"7 rsp 0\n"
    assert read_offers(b"relp_version=0\nrelp_software=x,1,http://y\ncommands=syslog,eventlog") == {
        "relp_version": "0",
        "relp_software": "x,1,http://y",
        "commands": "syslog,eventlog",
    }


def line(number: int) -> bytes:
    return b"<13>2026-11-23T04:00:00.%06d+00:00 host app: text" % number


def test_what_is_sent_again_after_a_broken_connection_is_known() -> None:
    last = LastDurable({"10.0.0.5": [line(k) for k in range(100)]})
    session = Resent(last, "10.0.0.5")
    assert session.without([line(k) for k in range(90, 100)]) == []
    assert session.without([line(0), line(100), line(101)]) == [line(100), line(101)]
    assert session.count == 11
    last.note("10.0.0.5", [line(100), line(101)])
    assert Resent(last, "10.0.0.5").without([line(101), line(102)]) == [line(102)]


def test_what_may_be_two_events_is_kept_twice() -> None:
    last = LastDurable({"10.0.0.5": [line(1), line(2), line(2), b"<13>Nov 23 04:00:00 host app: text"]})
    session = Resent(last, "10.0.0.5")
    for kept in (line(2), b"<13>Nov 23 04:00:00 host app: text"):  # came twice; says no exact time
        assert session.without([kept]) == [kept]
    assert session.without([line(1), line(1)]) == [line(1)]  # a copy, and then the same once more
    assert Resent(last, "10.0.0.6").without([line(1)]) == [line(1)]  # somebody else's
    last.note("10.0.0.5", [line(3)])
    assert session.without([line(3)]) == [line(3)]  # durable since the session began


def test_only_so_much_is_remembered() -> None:
    last = LastDurable()
    for k in range(SENDERS_MAX + 10):
        last.note(f"sender {k}", [line(k)])
    assert Resent(last, "sender 0").without([line(0)]) == [line(0)]
    assert Resent(last, f"sender {SENDERS_MAX}").without([line(SENDERS_MAX)]) == []
    last.note("long", [b"<13>2026-11-23T04:00:00.000Z %d" % k for k in range(LAST_MAX + 1)])
    assert Resent(last, "long").without([b"<13>2026-11-23T04:00:00.000Z 0"]) != []
    assert Resent(last, "long").without([b"<13>2026-11-23T04:00:00.000Z 1"]) == []
