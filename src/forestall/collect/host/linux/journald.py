"""The systemd journal, read on from a cursor that survives restarts. Source: journalctl(1) --output=json."""

import json
import os
from pathlib import Path
from typing import Any

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Spec

EVERY_S = 2
FOLLOWS = True
SPEC = Spec(
    name="journald",
    title="systemd journal",
    about="Every entry since the last look; the place is kept across restarts.",
    source="journalctl(1), systemd.journal-fields(7)",
    limits="2 MB a look, a message has at most 64 KiB; a machine without a journal has none.",
)
BYTES_A_LOOK = 2 << 20
MESSAGE_MAX_CHARS = 65_536
FIRST_LINES = 500
ASK_ANYWAY_S = 10.0
FIELDS = "MESSAGE,PRIORITY,SYSLOG_FACILITY,SYSLOG_IDENTIFIER,_COMM,_SYSTEMD_UNIT,_PID"
PLACES = ("run/log/journal/*/*.journal", "var/log/journal/*/*.journal")


def look(view: View) -> Reading:
    """New entries; the first look ever takes the last few hundred, so that there is something to see."""
    files = journal_files(view.root)
    if not files:
        raise NotHere("this machine has no systemd journal")
    if not any(os.access(path, os.R_OK) for path in files):
        raise OSError(
            "the journal is not readable for the agent: put its user into the group systemd-journal"
        )
    if not _is_new(view, files):
        return Reading()
    cursor = view.kept.get("cursor")
    answer = _read(view.root, cursor)
    logs, last = _records(answer)
    if last is None and answer:  # one entry is larger than a look may be: take it abbreviated
        logs, last = _records(_read(view.root, cursor, whole=False))
    if last is None or last == cursor:
        return Reading()
    return Reading(logs=logs, keep={"cursor": last}, more=len(answer.encode()) >= BYTES_A_LOOK)


def journal_files(root: Path) -> list[Path]:
    """The files of the journal, if there is one."""
    return [path for pattern in PLACES for path in root.glob(pattern)]


def _is_new(view: View, files: list[Path]) -> bool:
    """Whether a file changed since the last look; asked anyway from time to time."""
    stamp = []
    for path in files:
        try:
            state = path.stat()
        except OSError:
            continue  # rotated away at this moment
        stamp.append((path.name, state.st_mtime_ns, state.st_size))
    same = view.memory.get("stamp") == stamp and not view.memory.get("more")
    if same and view.steady_s - view.memory.get("asked_s", -ASK_ANYWAY_S) < ASK_ANYWAY_S:
        return False
    view.memory.update(stamp=stamp, asked_s=view.steady_s)
    return True


def _read(root: Path, cursor: str | None, *, whole: bool = True) -> str:
    """Entries after the cursor as lines of JSON, oldest first, cut at BYTES_A_LOOK."""
    command = ["journalctl", "--output=json", "--no-pager", "--quiet", f"--output-fields={FIELDS}"]
    command += ["--all"] if whole else []
    command += [] if root == Path("/") else [f"--root={root}"]
    if cursor is None:
        return run([*command, f"--lines={FIRST_LINES}"], most_bytes=BYTES_A_LOOK, cut=True)
    try:
        return run([*command, f"--after-cursor={cursor}"], most_bytes=BYTES_A_LOOK, cut=True)
    except OSError as error:
        if "cursor" not in str(error).lower():
            raise
        # the journal was thrown away: begin anew with what is there
        return run([*command, f"--lines={FIRST_LINES}"], most_bytes=BYTES_A_LOOK, cut=True)


def _records(answer: str) -> tuple[list[LogRecord], str | None]:
    """The records of whole lines, and the cursor of the last."""
    logs, last = [], None
    for line in answer[: answer.rfind("\n") + 1].splitlines():
        try:
            entry: dict[str, Any] = json.loads(line)
            last = str(entry["__CURSOR"])
            at_ms = int(entry["__REALTIME_TIMESTAMP"]) // 1000
        except (ValueError, KeyError, TypeError):
            continue  # a damaged entry does not hold up those after it
        logs.append(_record(entry, at_ms))
    return logs, last


def _text(value: Any) -> str:
    """A field's text: it may be bytes (a list of numbers), several values, or left out as too long."""
    if isinstance(value, list):
        if value and all(isinstance(part, int) for part in value):
            return bytes(part & 255 for part in value).decode(errors="replace")
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)


def _record(entry: dict[str, Any], at_ms: int) -> LogRecord:
    priority, facility = _text(entry.get("PRIORITY")), _text(entry.get("SYSLOG_FACILITY"))
    source = _text(entry.get("SYSLOG_IDENTIFIER")) or _text(entry.get("_COMM")) or "journal"
    attrs = {
        name.lower().strip("_"): _text(entry[name])[:256]
        for name in ("_SYSTEMD_UNIT", "_PID")
        if entry.get(name)
    }
    message = _text(entry.get("MESSAGE")) if entry.get("MESSAGE", "") is not None else "(too long to be kept)"
    return LogRecord(
        at_ms=max(0, at_ms),
        severity=int(priority) if priority in tuple("01234567") else 6,
        facility=int(facility) if facility.isdecimal() and int(facility) <= 23 else 3,
        source=source[:128],
        message=message[:MESSAGE_MAX_CHARS],
        attrs=attrs,
    )
