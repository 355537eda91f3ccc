"""What a probe is handed and what it gives back; `collect.asking` turns the two into an Outcome."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from forestall.collect.masking import Masker
from forestall.collect.remembering import Memory
from forestall.kernel.observations import ANSWER_MAX_CHARS, Snapshot, Sweep


class Number(NamedTuple):
    """A number that a probe measured. `item` empty: the probe's own, "<kind> <target>"."""

    metric: str
    value: float
    item: str = ""


@dataclass(slots=True)
class Question:
    """One run of a probe. `settings` come from SPEC.read; `timeout_s` is what the whole run may take, and
    the caller ends it then: a probe needs no timeouts of its own. `credential` is what the order brought to
    sign in with, empty when it brought none (fields by kind: `kernel.credentials`). `memory` is what whoever
    asks remembers from run to run, `masker` hides secrets in texts with its key.

    `phase` is what the probe is doing, so that a run that takes too long can say at what it stood.
    """

    target: str
    settings: Mapping[str, Any]
    now_ms: Callable[[], int]
    timeout_s: float
    phase: str = ""
    credential: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: Memory = field(default_factory=Memory)
    masker: Masker = field(default_factory=lambda: Masker(secrets.token_bytes(32)), repr=False)

    def doing(self, what: str) -> None:
        """From here on the probe waits for this (`connecting to 10.0.0.5:80`)."""
        self.phase = what


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. `reason` says in words and numbers what was seen, or why it is not as expected;
    `raw` is the answer itself, for evidence. `took_ms`: the probe's own measure, else the whole run's.
    `snapshots`: configurations of the asset, secrets masked; one that was refused or cut has its problem."""

    ok: bool
    reason: str
    raw: str = ""
    numbers: Sequence[Number] = ()
    took_ms: float | None = None
    snapshots: Sequence[Snapshot] = ()
    sweep: Sweep | None = None


class NoAnswer(Exception):
    """The thing that was asked did not answer, or not in a way that can be understood. The text says it."""

    def __init__(
        self,
        reason: str,
        *,
        raw: str = "",
        numbers: Sequence[Number] = (),
        snapshots: Sequence[Snapshot] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw
        self.numbers = numbers
        self.snapshots = snapshots


class NotAsked(NoAnswer):
    """Nothing was asked: the address is not allowed, a setting is wrong, a permission is missing. Asking
    again soon would not help. It counts as failed: a check that did not happen has not passed."""


def cut(text: str, most: int = ANSWER_MAX_CHARS) -> str:
    """At most so many characters, with an ellipsis when some are missing; no NUL characters."""
    text = text.replace("\0", "\ufffd")
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(data: bytes, most: int = ANSWER_MAX_CHARS) -> str:
    """Bytes from outside as text: UTF-8 where it is, control characters made visible."""
    text = data[: most * 4].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text if c != "\r")
    return cut(shown, most)


def say_place(host: str, port: int) -> str:
    """`10.0.0.5:80`, `[2001:db8::1]:80`, `shop.example.com:443`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_place(target: str, *, port: int | None = None) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port`, or `host` when there is a usual port.

    Raises NotAsked with what to write instead.
    """
    text = target.strip()
    host, colon, tail = text.rpartition(":")
    if text.startswith("["):
        inside, bracket, tail = text[1:].partition("]")
        host, colon, tail = inside, tail[:1], tail[1:]
        if not bracket or (not colon and tail):
            raise NotAsked(f"{target!r} is not host:port; write an IPv6 address as [2001:db8::1]:443")
    elif text.count(":") > 1:  # a bare IPv6 address
        host, colon, tail = text, "", ""
    elif not colon:
        host, tail = text, ""
    if not host or any(c.isspace() or c in "/@?#" for c in host):
        raise NotAsked(f"{target!r} is not a host or an address")
    if not colon:
        if port is None:
            raise NotAsked(f"{target!r} has no port; write it as host:port, for example {host}:443")
        return host, port
    if not (tail.isascii() and tail.isdigit() and 1 <= int(tail[:6]) <= 65535):
        raise NotAsked(f"{tail!r} in {target!r} is not a port (1 to 65535)")
    return host, int(tail)
