"""Where one syslog message ends in a TCP stream: octet counts and newlines, mixed, detected per message.

Source: RFC 6587 section 3.4 (octet counting, non-transparent framing).
"""

import re
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

MESSAGE_MAX_BYTES = 256 << 10

_COUNT = re.compile(rb"([1-9][0-9]{0,8}) (?=<)")
_COUNT_AGAIN = re.compile(rb"([1-9][0-9]{0,8}) ")
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,8} ?\Z")
_ENDS = b"\r\n\0"
_PACKED_MIN_BYTES = 4096  # of fewer, a list is made as fast


class Packed(Sequence[bytes]):
    """Messages in one piece: `data` has them one after the other, each with its newline, `lengths` (uint32)
    says where each ends."""

    def __init__(self, data: bytes, lengths: npt.NDArray[np.uint32]) -> None:
        self.data = data
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        return list(self)[place]

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        for length in self.lengths.tolist():
            yield self.data[at : at + length - 1]
            at += length


class Framing:
    """The messages of one connection. `cut_count` grows with every message that was cut to `most` bytes."""

    def __init__(self, most: int = MESSAGE_MAX_BYTES) -> None:
        self._most = most
        self._rest = b""
        self._counted = False
        self._skip_bytes = 0
        self._skip_line = False
        self.cut_count = 0

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The messages that are complete now, without empty ones."""
        data = self._rest + data
        if not self._skip_bytes and not self._skip_line and len(data) >= _PACKED_MIN_BYTES:
            end = data.rfind(b"\n") + 1
            if packed := _plain_lines(data[:end], self._most):
                self._rest, self._counted = data[end:], False
                return packed
        messages: list[bytes] = []
        at = self._step_over(data)
        while at < len(data):
            if data[at] in _ENDS:
                at += 1
                continue
            if _COUNT_BEGUN.match(data, at):
                break
            counted = (_COUNT_AGAIN if self._counted else _COUNT).match(data, at)
            self._counted = counted is not None
            reached = (
                self._take_counted(data, counted.end(), int(counted[1]), messages)
                if counted
                else self._take_lines(data, at, messages)
            )
            if reached == at or reached < 0:
                break
            at = reached
        self._rest = data[at:]
        return messages

    def finish(self) -> list[bytes]:
        """What is left when the sender closes: a last message without its end."""
        rest, self._rest = self._rest.strip(_ENDS), b""
        if counted := _COUNT.match(rest):
            rest = rest[counted.end() :]
            self.cut_count += 1
        return [rest[: self._most]] if rest else []

    def _step_over(self, data: bytes) -> int:
        """Pass over what remains of a message that was too long."""
        at = min(self._skip_bytes, len(data))
        self._skip_bytes -= at
        if self._skip_line:
            end = data.find(b"\n", at)
            if end < 0:
                return len(data)
            self._skip_line = False
            at = end + 1
        return at

    def _take_counted(self, data: bytes, at: int, length: int, messages: list[bytes]) -> int:
        """One counted message; returns where the next starts, or -1 when it is not complete."""
        taken = min(length, self._most)
        if len(data) - at < taken:
            return -1
        if message := data[at : at + taken].rstrip(_ENDS):
            messages.append(message)
        if length > taken:
            self.cut_count += 1
            passed = min(length, len(data) - at)
            self._skip_bytes = length - passed
            return at + passed
        return at + length

    def _take_lines(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Lines up to the last newline, or to a line that is a counted message; returns where it stopped."""
        last = data.rfind(b"\n", at)
        if last < 0:
            if len(data) - at <= self._most:
                return at
            messages.append(data[at : at + self._most])
            self.cut_count += 1
            self._skip_line = True
            return len(data)
        for line in data[at:last].split(b"\n"):
            head = line.lstrip(_ENDS)  # what ended the one before may stand here
            if head[:1].isdigit() and _COUNT.match(head):
                return at
            at += len(line) + 1
            if len(line) > self._most:
                self.cut_count += 1
                line = line[: self._most]
            if line := line.strip(_ENDS):
                messages.append(line)
        return at


def _plain_lines(data: bytes, most: int) -> Packed | None:
    """Lines that all end in a newline alone, are not empty, not longer than `most`, and not counted; None
    when any of that does not hold."""
    if not data or b"\r" in data or b"\0" in data:
        return None
    letters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    first = letters[starts]
    if lengths.min() == 0 or lengths.max() > most or ((first >= ord("0")) & (first <= ord("9"))).any():
        return None
    return Packed(data, (lengths + 1).astype(np.uint32))
