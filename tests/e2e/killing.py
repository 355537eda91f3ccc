"""Kills roles of a running installation with SIGKILL, in random order, at random moments of their lives."""

import os
import random
import signal
import time
from contextlib import suppress

import psutil

from e2e.installation import Installation, poll

ROLES = ("watch", "store", "web")
BACK_S = 60.0


def process_of(up: Installation, role: str) -> int:
    """The process of a role, from its very beginning; 0 while there is none."""
    with suppress(psutil.Error):
        for child in psutil.Process(up.process.pid).children():
            with suppress(psutil.Error):
                if child.cmdline()[-2:] == ["forestall.processes.role", role]:
                    return child.pid
    return 0


def works(up: Installation, role: str) -> bool:
    """Whether the process that runs now has given a sign of life."""
    return (pid := process_of(up, role)) != 0 and int(up.role(role).get("pid", -1)) == pid


def kill_at_random(
    up: Installation, dice: random.Random, *, kills: int, pause_s: float = 0.8
) -> dict[str, int]:
    """`kills` times: after a random pause a role that works, and every fourth time one wherever it is
    in its start. How often each was killed."""
    killed = dict.fromkeys(ROLES, 0)
    for number in range(kills):
        time.sleep(dice.uniform(0, pause_s))
        ready = process_of if number % 4 == 3 else works
        there = poll(
            lambda ready=ready: [role for role in ROLES if ready(up, role)],
            within_s=BACK_S,
            what="a role to kill",
            every_s=0.1,
        )
        role = dice.choice(there)
        with suppress(ProcessLookupError):
            if pid := process_of(up, role):
                os.kill(pid, signal.SIGKILL)
                killed[role] += 1
    return killed
