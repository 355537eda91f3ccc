"""The unified log of macOS: what matters of it, read on from the time of the last line, across restarts."""

import hashlib
import json
from datetime import datetime
from typing import Any

from forestall.collect.platforms.macos import LOG_S, read_log
from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Spec

EVERY_S = 30
FOLLOWS = True
SPEC = Spec(
    name="unified_log",
    title="Unified log",
    about="Sign-ins, sudo, restarts, backups, faults of disks and of protection; the place is kept.",
    source="log(1) show --style ndjson",
    limits="The rest is left out: it has thousands of lines a second. 4 MB a look; what macOS shows as "
    "<private> stays so.",
)
BYTES_A_LOOK = 4 << 20
MESSAGE_MAX_CHARS = 32_768
FIRST_S = 600
OVERLAP_S = 5  # lines are written a little late
BEHIND_MAX_S = 7 * 86_400
SEVERITIES = {"Fault": 2, "Error": 3, "Default": 5, "Info": 6, "Debug": 7}
SEEN_MAX = 5_000


def look(view: View) -> Reading:
    """New lines; the first look ever takes the last ten minutes."""
    now_s = view.now_ms // 1000
    last_ms = int(view.kept.get("at_ms", (now_s - FIRST_S) * 1000))
    since_s = max(last_ms // 1000 - OVERLAP_S, now_s - BEHIND_MAX_S)
    output = view.run(read_log(since_s), timeout_s=LOG_S, most_bytes=BYTES_A_LOOK, cut=True)
    seen: set[str] = set(view.kept.get("seen", []))
    logs, marks = [], []
    newest_ms = last_ms
    for line in output[: output.rfind(b"\n") + 1].splitlines():
        entry = _entry(line)
        if entry is None:
            continue
        mark = hashlib.sha256(line).hexdigest()[:16]
        record = to_record(entry, view.now_ms)
        if record.at_ms < since_s * 1000:
            continue  # it was not asked for
        newest_ms = max(newest_ms, min(record.at_ms, view.now_ms))
        marks.append((record.at_ms, mark))
        if mark not in seen:
            seen.add(mark)
            logs.append(record)
    if not logs:
        return Reading()
    kept = [mark for at_ms, mark in marks if at_ms >= newest_ms - OVERLAP_S * 1000][-SEEN_MAX:]
    more = len(output) >= BYTES_A_LOOK
    return Reading(logs=logs, keep={"at_ms": newest_ms, "seen": kept}, more=more)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The object of a line; none for the last, which counts the lines, and a damaged one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("timestamp") else None


def to_record(entry: dict[str, Any], now_ms: int) -> LogRecord:
    """A line of the log as a record."""
    path = str(entry.get("processImagePath") or "")
    source = path.rpartition("/")[2] or str(entry.get("subsystem") or "log")
    attrs = {"pid": str(entry.get("processID", ""))}
    if entry.get("subsystem"):
        attrs["subsystem"] = str(entry["subsystem"])[:256]
    return LogRecord(
        at_ms=_time_ms(str(entry["timestamp"]), now_ms),
        severity=SEVERITIES.get(str(entry.get("messageType")), 6),
        facility=0 if source == "kernel" else 3,
        source=source[:128],
        message=" ".join(str(entry.get("eventMessage") or "(no text)").split())[:MESSAGE_MAX_CHARS],
        attrs=attrs,
    )


def _time_ms(text: str, now_ms: int) -> int:
    """`2026-11-23 09:12:33.123456+0100` in ms; of now when it is none."""
    try:
        return max(0, int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f%z").timestamp() * 1000))
    except ValueError:
        return now_ms
