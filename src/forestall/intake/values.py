"""The intake's words: what refuses, what was refused. No framework."""

from dataclasses import dataclass

RAW_MAX_BYTES = 8192
REASON_MAX_CHARS = 500
SENDER_MAX_CHARS = 160
OTHERS = "(others)"


class QueueFull(Exception):
    """The durable queue holds as much as it may, or the disk is full: answer 503, or stop reading.

    Nothing of what was handed over was taken; the same frame may be handed over again later.
    """


class QueueBroken(Exception):
    """Writing to the disk failed in a way after which nothing on it can be trusted to be durable (a failed
    fsync may have dropped pages and reported it only once). The process must exit and acknowledge nothing."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Input that was refused: by which `door` (`agent`, `syslog`, `queue`), from whom, why, what it was.

    `client` is the client's identifier, or "" when it is not known whose it was; such rows are seen only
    by people who see every client. `raw` is cut to RAW_MAX_BYTES when it is kept. `count` is how many
    records this stands for.
    """

    door: str
    sender: str
    reason: str
    at_ms: int
    raw: bytes = b""
    client: str = ""
    count: int = 1


class TryAgain(Exception):
    """A consumer cannot take it now (a store or a database is down): hand over the same again later."""


class Refused(Exception):
    """A consumer will never take this (the store says that it is wrong): set it aside and go on."""
