"""Rates from counters that wrap and restart. Pure: counts and times in, rates out.

A counter counts up to 2^32 or 2^64 and begins again at 0. It also begins again when the device restarts, or
when its owner says so (ifCounterDiscontinuityTime). Then there is no rate, rather than a wrong one.
Source: RFC 2578 (7.1.6, 7.1.10), RFC 2863 (3.1.5, 3.1.6), RFC 3411 (snmpEngineTime).
"""

from typing import NamedTuple

TICKS_WRAP = 1 << 32  # a Counter32; and sysUpTime, in hundredths of a second: after 497.1 days
SLACK_S = 30.0  # by which a device's clock may be off from ours between two polls
DRIFT = 0.02  # and its share of the time between them


class Count(NamedTuple):
    """What a counter said. `began`: a mark that changes when the counter began again."""

    value: int
    at_s: float
    began: int = 0


class Uptime(NamedTuple):
    """How long a device is up, `wraps` of sysUpTime included. `epoch` counts the restarts that were seen."""

    ticks: int
    at_s: float
    engine_s: int = 0
    wraps: int = 0
    epoch: int = 0

    @property
    def up_s(self) -> float:
        """Seconds; the engine's own time when it is the longer one (after a wrap that nobody saw)."""
        ticks_s = (self.ticks + self.wraps * TICKS_WRAP) / 100
        return max(ticks_s, float(self.engine_s)) if self.engine_s * 100 > TICKS_WRAP else ticks_s


def next_uptime(before: Uptime | None, *, ticks: int, engine_s: int, at_s: float) -> tuple[Uptime, bool]:
    """The uptime of now, and whether the device (or its agent) began again since before.

    sysUpTime that fell has wrapped when it stands where it would by then have come to, else it began again.
    `engine_s` is snmpEngineTime, 0 when it is not known.
    """
    if before is None:
        return Uptime(ticks, at_s, engine_s), False
    passed_s = max(0.0, at_s - before.at_s)
    slack_s = SLACK_S + DRIFT * passed_s
    missing = before.ticks + passed_s * 100 - ticks  # against a device that simply ran on
    wraps = 0
    if ticks < before.ticks:
        wraps = round(missing / TICKS_WRAP)
        engine_fell = bool(engine_s and before.engine_s) and engine_s < before.engine_s
        restarted = wraps < 1 or abs(missing - wraps * TICKS_WRAP) > slack_s * 100 or engine_fell
    else:  # a machine that was suspended misses time too; but one that began again is younger than the pause
        restarted = missing > slack_s * 100 and ticks / 100 <= passed_s + SLACK_S
    if restarted:
        return Uptime(ticks, at_s, engine_s, 0, before.epoch + 1), True
    return Uptime(ticks, at_s, engine_s, before.wraps + wraps, before.epoch), False


def rate_per_s(before: Count | None, now: Count, *, bits: int, most_per_s: float = 0.0) -> float | None:
    """Per second since `before`; None when that cannot be said: the first count, a counter that began again,
    no time between, or 32 bits that may have wrapped more than once (at `most_per_s`; 0: not known).

    A counter of 32 bits that fell has wrapped once. One of 64 bits wraps in no lifetime: it began again.
    """
    if before is None or now.began != before.began:
        return None
    passed_s = now.at_s - before.at_s
    if passed_s <= 0:
        return None
    if bits == 32 and most_per_s * passed_s >= TICKS_WRAP:
        return None
    grown = now.value - before.value
    if grown < 0:
        if bits != 32 or before.value >= TICKS_WRAP:
            return None
        grown += TICKS_WRAP
    return grown / passed_s
