"""How far this machine's clock is off, as its time daemon says. Ahead is positive, behind negative."""

import re

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 60
SPEC = Spec(
    name="time_offset",
    title="Clock",
    about="How far the clock is ahead (or, negative, behind), from chrony, ntpd or systemd-timesyncd.",
    source="chronyc(1) tracking, ntpq(1) rv, timedatectl(1) timesync-status",
    limits="Nothing when no time daemon can be asked, or none is synchronised.",
    produces=("time.offset_ms",),
)
ANSWER_S = 5.0
_UNITS_MS = {"us": 0.001, "µs": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0}


def look(view: View) -> Reading:
    """The first daemon that answers counts. Raises NotHere when none does."""
    for command, read in (
        (["chronyc", "-c", "tracking"], of_chrony),
        (["ntpq", "-c", "rv 0 leap,offset"], of_ntpd),
        (["timedatectl", "timesync-status"], of_timesyncd),
    ):
        try:
            offset_ms = read(run(command, timeout_s=ANSWER_S))
        except (NotHere, OSError, ValueError, IndexError):
            continue
        if offset_ms is not None:
            return Reading([view.sample("time.offset_ms", offset_ms)])
    raise NotHere("no time daemon of this machine can be asked")


def of_chrony(answer: str) -> float | None:
    """Of the 14 fields of `tracking` the fifth is the correction still to be made: positive when slow."""
    fields = answer.strip().split(",")
    return None if "Not synchronised" in fields[-1] else -float(fields[4]) * 1000


def of_ntpd(answer: str) -> float | None:
    """`leap=00, offset=-0.123` in ms, as the server's time minus our own; leap 11: not synchronised."""
    fields = dict(re.findall(r"(\w+)=([-+.\w]+)", answer))
    return None if fields.get("leap") in {None, "11", "3"} else -float(fields["offset"])


def of_timesyncd(answer: str) -> float | None:
    """`Offset: +1.234ms`, the server's time minus our own, at the last answer of the server."""
    found = re.search(r"(?m)^\s*Offset: ([+-])(.+)$", answer)
    if not found:
        return None
    parts = re.findall(r"([\d.]+)\s*(us|µs|ms|s|min|h)\b", found[2])
    size = sum(float(number) * _UNITS_MS[unit] for number, unit in parts)
    return None if not parts else (-size if found[1] == "+" else size)
