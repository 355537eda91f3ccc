"""Processes, people signed in, uptime, the clock."""

import time

import psutil

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="processes",
    title="Processes, uptime and clock",
    about="Number of processes and zombies, people signed in, time since the start, offset of the clock.",
    source="proc(5) through psutil; chronyc(1) or ntpq(1) for the clock",
    limits="Without a time daemon that can be asked there is no offset.",
    produces=("processes.count", "processes.zombies", "users.signed_in", "uptime_s", "time.offset_ms"),
)


def look(view: View) -> Reading:
    """Counts of now."""
    states = [process.info["status"] for process in psutil.process_iter(["status"])]
    samples = [
        view.sample("processes.count", len(states)),
        view.sample("processes.zombies", states.count(psutil.STATUS_ZOMBIE)),
        view.sample("users.signed_in", len(psutil.users())),
        view.sample("uptime_s", time.time() - psutil.boot_time()),
    ]
    offset_ms = clock_offset_ms()
    if offset_ms is not None:
        samples.append(view.sample("time.offset_ms", offset_ms))
    return Reading(samples)


def clock_offset_ms() -> float | None:
    """How far the clock is off, as the time daemon says; None when none can be asked."""
    try:
        fields = run(["chronyc", "-c", "tracking"], timeout_s=3).strip().split(",")
        return float(fields[4]) * 1000
    except (NotHere, OSError, ValueError, IndexError):
        return None
