"""Who is signed in to this machine."""

import json
import time
from pathlib import Path

import psutil

from forestall.collect.viewing import NotHere, run

PEOPLE_MAX = 50
RECORDS = ("/run/utmp", "/var/run/utmp")  # utmp(5); systems without it ask systemd-logind


def signed_in() -> list[str]:
    """One a session, sorted: `ana from 10.0.0.7 since 2026-11-23 09:12`."""
    people = {
        f"{user.name} from {user.host or user.terminal or 'here'} since {_minute(user.started)}"[:200]
        for user in psutil.users()
    }
    if not people and not any(map(_exists, RECORDS)):
        people = set(_sessions())
    return sorted(people)[:PEOPLE_MAX]


def _exists(path: str) -> bool:
    return Path(path).exists()


def _minute(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))


def _sessions() -> list[str]:
    """From loginctl(1), which may not be there."""
    if not _exists("/run/systemd/sessions"):
        return []
    try:
        found = json.loads(run(["loginctl", "list-sessions", "--output=json"], timeout_s=3) or "[]")
        return [
            f"{one['user']} on {one.get('tty') or one.get('seat') or 'no terminal'}"[:200] for one in found
        ]
    except (NotHere, OSError, ValueError, KeyError, TypeError):
        return []
