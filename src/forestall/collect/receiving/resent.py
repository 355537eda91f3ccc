"""Which of the first messages of a RELP session were there already: so that a lost answer makes no copies.

RELP promises "at least once": when a connection breaks, or this process is killed, after a message is durable
and before its answer has reached the sender, the sender sends it again in its next session, and the number of
a transaction says nothing across sessions. But what is sent again is sent at the beginning and unchanged. So
one of the first messages of a session that equals, byte for byte, one of the sender's last durable ones is
answered and not stored again.

Two true events with the same bytes must not become one. So a message is taken for a copy only when it says
its time in fractions of a second, when the sender's last messages have it once, when it was durable before
the session began, and once a session; everything else is stored, rather twice than never. Pure.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LAST_MAX = 65_536  # messages remembered of each sender
TOTAL_MAX = 1 << 20  # of all senders; those that were silent longest go
SENDERS_MAX = 4_096
AGAIN_WITHIN = 8_192  # messages of a session: more than senders keep without an answer

_EXACT_TIME = re.compile(
    rb"<[0-9]{1,3}>(?:1 )?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}"
)
_TWICE = -1


@dataclass(slots=True)
class _Sender:
    """`places`: fingerprint → the number of the message, or _TWICE; the oldest first."""

    count: int = 0
    places: dict[int, int] = field(default_factory=dict)


class LastDurable:
    """By sender, the fingerprints of the last messages that are durable."""

    def __init__(self, before: Mapping[str, Sequence[bytes]] | None = None) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        self._total = 0
        for peer, lines in (before or {}).items():
            self.note(peer, lines)

    def note(self, peer: str, lines: Iterable[bytes]) -> None:
        """These are durable now."""
        sender = self.of(peer)
        places, had = sender.places, len(sender.places)
        for fingerprint in map(hash, lines):
            places[fingerprint] = _TWICE if fingerprint in places else sender.count
            sender.count += 1
        while len(places) > LAST_MAX:
            del places[next(iter(places))]
        self._total += len(places) - had
        while self._total > TOTAL_MAX and len(self._senders) > 1:
            self._total -= len(self._senders.popitem(last=False)[1].places)

    def of(self, peer: str) -> _Sender:
        """What is remembered of a sender, who is now the one heard last."""
        sender = self._senders.setdefault(peer, _Sender())
        self._senders.move_to_end(peer)
        while len(self._senders) > SENDERS_MAX:
            self._total -= len(self._senders.popitem(last=False)[1].places)
        return sender


class Resent:
    """What one session sends again: made when the session is opened. `count` is of those so far."""

    def __init__(self, last: LastDurable, peer: str) -> None:
        sender = last.of(peer)
        self._places = sender.places
        self._before = sender.count
        self._used: set[int] = set()
        self._left = AGAIN_WITHIN if sender.places else 0
        self.count = 0

    def without(self, lines: list[bytes]) -> list[bytes]:
        """The lines that are not copies."""
        if not self._left:
            return lines
        looked, rest = lines[: self._left], lines[self._left :]
        self._left -= len(looked)
        fresh = [line for line in looked if not self._is_copy(line)]
        self.count += len(looked) - len(fresh)
        return fresh + rest

    def _is_copy(self, line: bytes) -> bool:
        fingerprint = hash(line)
        place = self._places.get(fingerprint, _TWICE)
        if place == _TWICE or place >= self._before or fingerprint in self._used:
            return False
        if not _EXACT_TIME.match(line):
            return False
        self._used.add(fingerprint)
        return True
