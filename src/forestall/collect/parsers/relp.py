"""RELP: where one frame ends and the next begins, and what the offers of a session are. Pure.

A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`; of a message that is too long the beginning is kept.

Source: the protocol description of librelp (doc/relp.html), Rainer Gerhards.
"""

import re
from typing import NamedTuple

COMMAND_DATA_MAX_BYTES = 4096  # of everything that is not a message

_HEAD = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_HEAD_MAX_BYTES = 9 + 1 + 32 + 1 + 9 + 1


class NotRelp(ValueError):
    """The bytes are not RELP; nothing after them can be understood."""


class Frame(NamedTuple):
    """`number` is what an answer refers to; `command` is `open`, `syslog`, `close`, `rsp` …"""

    number: int
    command: bytes
    data: bytes


class Frames:
    """The frames of one connection. Holds at most `most` bytes of an unfinished message; `cut_count` grows
    with every message that was cut to that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = bytearray()
        self._needed = 0  # how long the rest must be before there is more to see
        self._pass_bytes = 0  # of a message that was too long
        self._ending = False  # the LF of that message is still to come
        self.cut_count = 0

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._rest) or self._pass_bytes > 0 or self._ending

    def feed(self, data: bytes) -> tuple[list[Frame], NotRelp | None]:
        """The frames that are complete now, and what is wrong with what follows them (then no more may be
        fed: the connection is to be closed)."""
        frames: list[Frame] = []
        try:
            self._feed(data, frames)
        except NotRelp as error:
            return frames, error
        return frames, None

    def _feed(self, data: bytes, frames: list[Frame]) -> None:
        at = self._step_over(data)
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, at = bytes(self._rest), 0
        self._rest, self._needed = bytearray(), 0
        size, match = len(data), _HEAD.match
        while at < size:
            head = match(data, at)
            if head is None:
                if size - at > _HEAD_MAX_BYTES or not _may_begin(data[at:]):
                    raise NotRelp("not RELP: a frame begins with a number, a command and a length")
                break
            number, command, length = int(head[1]), head[2], int(head[3])
            start = head.end()
            if length == 0:
                # `N rsp 0 LF`, and also `N rsp 0 SP LF`, which old senders write.
                if head[4] == b" ":
                    if start >= size:
                        break
                    _expect_end(data, start)
                    start += 1
                frames.append(Frame(number, command, b""))
                at = start
                continue
            if head[4] != b" ":
                raise NotRelp("not RELP: the data of a frame is missing")
            if length > self._most or (command != b"syslog" and length > COMMAND_DATA_MAX_BYTES):
                reached = self._take_long(data, start, Frame(number, command, b""), length, frames)
                if reached < 0:
                    self._needed = start + self._most - at
                    break
                at = reached
                continue
            end = start + length
            if end >= size:
                self._needed = end + 1 - at
                break
            _expect_end(data, end)
            frames.append(Frame(number, command, data[start:end]))
            at = end + 1
        self._rest = bytearray(data[at:])

    def _take_long(self, data: bytes, start: int, frame: Frame, length: int, frames: list[Frame]) -> int:
        """The beginning of a message that is too long; returns where the next frame starts, -1 when not even
        the beginning is there."""
        if frame.command != b"syslog":
            raise NotRelp(f"not RELP: more than {COMMAND_DATA_MAX_BYTES} bytes beside a message")
        if len(data) - start < self._most:
            return -1
        frames.append(Frame(frame.number, frame.command, data[start : start + self._most]))
        self.cut_count += 1
        self._pass_bytes, self._ending = length - self._most, True
        return start + self._most + self._step_over(data[start + self._most :])

    def _step_over(self, data: bytes) -> int:
        """Pass over what remains of a message that was too long; returns how many bytes that were."""
        at = min(self._pass_bytes, len(data))
        self._pass_bytes -= at
        if self._ending and not self._pass_bytes and at < len(data):
            _expect_end(data, at)
            self._ending = False
            at += 1
        return at


def answer(number: int, text: bytes) -> bytes:
    """An answer to the frame with that number."""
    return b"%d rsp %d %s\n" % (number, len(text), text) if text else b"%d rsp 0\n" % number


def read_offers(data: bytes) -> dict[str, str]:
    """What a sender offers when it opens a session: `relp_version`, `relp_software`, `commands` …"""
    offers = {}
    for line in data.decode("ascii", "replace").splitlines():
        name, _, value = line.partition("=")
        if name:
            offers[name.strip()] = value.strip()
    return offers


_BEGUN = re.compile(rb"[0-9]{1,9}(?: (?:[A-Za-z]{1,32}(?: (?:[0-9]{1,9})?)?)?)?\Z")


def _may_begin(data: bytes) -> bool:
    return _BEGUN.match(data) is not None


def _expect_end(data: bytes, at: int) -> None:
    if data[at] != 0x0A:
        raise NotRelp("not RELP: a frame does not end where it says")
