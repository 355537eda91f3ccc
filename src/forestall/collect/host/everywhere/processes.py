"""Processes, people signed in, uptime."""

import time

import psutil

from forestall.collect.people import signed_in
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="processes",
    title="Processes and uptime",
    about="Number of processes and zombies, people signed in, time since the start.",
    source="proc(5) through psutil, utmp(5)",
    produces=("processes.count", "processes.zombies", "users.signed_in", "uptime_s"),
)


def look(view: View) -> Reading:
    """Counts of now."""
    states = [process.info["status"] for process in psutil.process_iter(["status"])]
    return Reading(
        [
            view.sample("processes.count", len(states)),
            view.sample("processes.zombies", states.count(psutil.STATUS_ZOMBIE)),
            view.sample("users.signed_in", len(signed_in())),
            view.sample("uptime_s", max(0.0, time.time() - psutil.boot_time())),
        ]
    )
