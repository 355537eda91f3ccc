"""launchd: what is set up to run, and which of it has failed."""

import plistlib
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from forestall.collect.platforms.macos import LAUNCHD_LIST
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 60
SPEC = Spec(
    name="services",
    title="Services",
    about="1 for a service that is not Apple's and ended with an error; 0 for ten minutes once it is well "
    "again. Which daemons and agents are set up, and what they start.",
    source="launchd.plist(5), launchctl(1) list",
    limits="500 services; agents of users are seen as files alone.",
    produces=("service.failed", "services.failed_count"),
)
PLACES = ("Library/LaunchDaemons", "Library/LaunchAgents")
FILES_MAX = 500
FILE_MAX_BYTES = 1 << 20
WELL_AGAIN_S = 600.0
WHEN = ("RunAtLoad", "KeepAlive", "StartInterval", "StartCalendarInterval", "WatchPaths")
APPLE = ("com.apple.", "application.", "[")


def look(view: View) -> Reading:
    """What launchctl lists is of the system when the agent is root, of its user otherwise."""
    failed = failing(view.run(LAUNCHD_LIST).decode(errors="replace"))
    last: dict[str, float] = view.memory.setdefault(
        "last", dict.fromkeys(view.kept.get("units", []), view.steady_s)
    )
    last.update(dict.fromkeys(failed, view.steady_s))
    for name in [name for name, at_s in last.items() if not 0 <= view.steady_s - at_s < WELL_AGAIN_S]:
        del last[name]
    samples = [view.sample("services.failed_count", len(failed))]
    samples += [view.sample("service.failed", float(name in failed), name) for name in sorted(last)]
    lines, problem = _set_up(view.root)
    units = sorted(last)
    return Reading(
        samples,
        snapshots=[view.snapshot("services", "Services", lines, problem=problem)],
        keep={"units": units} if units != view.kept.get("units", []) else None,
    )


def failing(answer: str) -> set[str]:
    """Labels that do not run and whose last status was an error, of `PID Status Label` in columns."""
    found = set()
    for line in answer.splitlines()[1:]:
        fields = line.split("\t") if "\t" in line else line.split(None, 2)
        if len(fields) == 3 and fields[0] == "-" and not fields[2].startswith(APPLE):
            status = fields[1]
            if status.lstrip("-").isdecimal() and int(status) > 0:  # negative: ended by a signal, as told
                found.add(fields[2].strip())
    return found


def _set_up(root: Path) -> tuple[list[str], str]:
    """A few lines a property list, sorted; why one could not be read."""
    lines, problem = [], ""
    paths = [path for place in PLACES for path in sorted((root / place).glob("*.plist"))]
    for path in paths[:FILES_MAX]:
        try:
            with path.open("rb") as file:
                found = plistlib.loads(file.read(FILE_MAX_BYTES))
        except (OSError, plistlib.InvalidFileException, ExpatError, ValueError) as error:
            problem = f"{path} cannot be read: {error}"
            continue
        if isinstance(found, dict):
            lines += _say(path, found)
    return lines, problem


def _say(path: Path, found: dict[str, Any]) -> list[str]:
    label = str(found.get("Label") or path.stem)
    command = found.get("ProgramArguments") or [found.get("Program", "")]
    when = [name for name in WHEN if found.get(name)]
    state = "disabled" if found.get("Disabled") else "enabled"
    who = str(found.get("UserName") or ("root" if path.parent.name == "LaunchDaemons" else "user"))
    lines = [f"{label} {state} as {who} {' '.join(when)}".rstrip()]
    lines.append(f"{label} starts {' '.join(map(str, command))}")
    lines += [f"{label} {name}={value}" for name, value in sorted(_variables(found).items())]
    return lines


def _variables(found: dict[str, Any]) -> dict[str, str]:
    given = found.get("EnvironmentVariables")
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
