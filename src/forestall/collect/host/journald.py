"""The systemd journal, read on from a cursor that survives restarts. Source: journalctl(1) --output=json."""

import json
from typing import Any

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Spec

EVERY_S = 2
SPEC = Spec(
    name="journald",
    title="systemd journal",
    about="Every entry since the last look; the place is kept across restarts.",
    source="journalctl(1), systemd.journal-fields(7)",
    limits="2,000 entries a look; a machine without a journal has none.",
)
ENTRIES_MAX = 2_000
MESSAGE_MAX_CHARS = 65_536
FIRST_LINES = 500


def look(view: View) -> Reading:
    """New entries; the first look ever takes the last few hundred, so that there is something to see."""
    command = ["journalctl", "--output=json", "--no-pager", "--quiet", "--all"]
    cursor = view.kept.get("cursor")
    command += (
        [f"--after-cursor={cursor}", f"--lines=+{ENTRIES_MAX}"] if cursor else [f"--lines={FIRST_LINES}"]
    )
    try:
        answer = run(command)
    except OSError as error:
        if "cursor" in str(error).lower():  # the journal was thrown away: begin anew with what is there
            answer = run([*command[:5], f"--lines={FIRST_LINES}"])
        else:
            raise NotHere(f"the journal cannot be read: {error}") from error
    logs = []
    for line in answer.splitlines():
        entry: dict[str, Any] = json.loads(line)
        cursor = entry.get("__CURSOR", cursor)
        logs.append(_record(entry))
    return Reading(logs=logs, keep={"cursor": cursor} if logs else None)


def _record(entry: dict[str, Any]) -> LogRecord:
    message = entry.get("MESSAGE") or ""
    if isinstance(message, list):  # bytes that are not UTF-8
        message = bytes(message).decode(errors="replace")
    priority = str(entry.get("PRIORITY", "6"))
    facility = str(entry.get("SYSLOG_FACILITY", "3"))
    source = entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or "journal"
    attrs = {
        name.lower().strip("_"): str(entry[name]) for name in ("_SYSTEMD_UNIT", "_PID") if entry.get(name)
    }
    return LogRecord(
        at_ms=int(entry["__REALTIME_TIMESTAMP"]) // 1000,
        severity=int(priority) if priority in "01234567" else 6,
        facility=int(facility) if facility.isdigit() and int(facility) <= 23 else 3,
        source=str(source)[:128],
        message=str(message)[:MESSAGE_MAX_CHARS],
        attrs=attrs,
    )
