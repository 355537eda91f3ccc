"""Log files, followed across restarts and rotation: nothing lost, nothing twice.

A file is known by device, inode and its first bytes. After a rotation by rename the rest of the old file is
read first; after copytruncate the file begins anew. A line without its end waits for it.
"""

import calendar
import hashlib
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Setting, Spec

EVERY_S = 2
SPEC = Spec(
    name="log_files",
    title="Log files",
    about="Lines that are added to log files; place kept across restarts, rename and copytruncate.",
    source="logrotate(8); RFC 3164 section 4 for the head of a line",
    settings=(Setting("more", "More files", kind="lines", default=[], help="Patterns below /, one a line."),),
    limits="2 MB and 10,000 lines a look; a line has at most 64 KiB.",
)
FILES = ("var/log/syslog", "var/log/messages", "var/log/auth.log", "var/log/kern.log", "var/log/dpkg.log")
BYTES_A_LOOK = 2 << 20
LINES_A_LOOK = 10_000
LINE_MAX_BYTES = 65_536
HEAD_BYTES = 256
FIRST_BYTES = 64 << 10
FILES_MAX = 200
MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_ISO = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) \S+ (?P<rest>.*)", re.DOTALL
)
_OLD = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d+) (?P<clock>\d\d:\d\d:\d\d) \S+ (?P<rest>.*)", re.DOTALL
)
_PLAIN = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<rest>.*)", re.DOTALL
)  # dpkg, apt: local time
_TAG = re.compile(r"(?P<source>[^\s:\[]{1,128})(?:\[(?P<pid>\d+)\])?: ?(?P<message>.*)", re.DOTALL)


def look(view: View) -> Reading:
    """New lines of every file. `kept` maps a path to its place."""
    patterns = [*FILES, *(pattern.lstrip("/") for pattern in view.settings.get("more", []))]
    kept: dict[str, Any] = dict(view.kept)
    logs: list[LogRecord] = []
    budget = BYTES_A_LOOK
    for path in [path for pattern in patterns for path in sorted(view.root.glob(pattern))][:FILES_MAX]:
        if budget <= 0 or len(logs) >= LINES_A_LOOK or not path.is_file():
            break
        name = str(path)
        try:
            lines, place, used = _follow(path, kept.get(name), budget)
        except PermissionError:
            continue
        budget -= used
        kept[name] = place
        logs += [_record(line, path.stem, view.now_ms) for line in lines]
    return Reading(logs=logs, keep=kept if kept != view.kept else None)


def _follow(path: Path, place: dict[str, Any] | None, budget: int) -> tuple[list[bytes], dict[str, Any], int]:
    """New whole lines of a file, its new place, bytes read."""
    with path.open("rb") as file:
        state = path.stat()
        if place is None:  # the first time: the end of it, from a line's beginning
            start = max(0, state.st_size - FIRST_BYTES)
            file.seek(start)
            if start:
                file.readline(LINE_MAX_BYTES)
            lines, offset, used = _read(file, file.tell(), budget)
            return lines, _place(file, state.st_dev, state.st_ino, offset), used
        same = place["inode"] == state.st_ino and place["device"] == state.st_dev
        lines, used = [], 0
        if not same:
            old = _renamed(path, place)
            if old is not None:
                with old.open("rb") as rest:
                    lines, offset, used = _read(rest, place["offset"], budget)
                    if used >= budget:  # more of the old file is left: stay with it
                        return lines, place | {"offset": offset}, used
        offset = place["offset"] if same and _is_continued(file, place, state.st_size) else 0
        more, offset, read = _read(file, offset, budget - used)
        return lines + more, _place(file, state.st_dev, state.st_ino, offset), used + read


def _read(file: Any, offset: int, budget: int) -> tuple[list[bytes], int, int]:
    """Whole lines from an offset, the offset after them, bytes taken. A line that is too long is cut up."""
    file.seek(offset)
    data: bytes = file.read(max(0, budget))
    end = data.rfind(b"\n") + 1
    if not end and len(data) >= LINE_MAX_BYTES:
        end = LINE_MAX_BYTES
    lines = [part for line in data[:end].split(b"\n") for part in _cut(line) if part.strip()]
    return lines, offset + end, end


def _cut(line: bytes) -> list[bytes]:
    return [line[at : at + LINE_MAX_BYTES] for at in range(0, len(line), LINE_MAX_BYTES)]


def _place(file: Any, device: int, inode: int, offset: int) -> dict[str, Any]:
    file.seek(0)
    head = file.read(min(HEAD_BYTES, offset))
    return {
        "device": device,
        "inode": inode,
        "offset": offset,
        "head": len(head),
        "digest": hashlib.sha256(head).hexdigest(),
    }


def _is_continued(file: Any, place: dict[str, Any], size: int) -> bool:
    """Whether a file is still the one that was read: it has not shrunk and begins the same."""
    if size < place["offset"]:
        return False
    file.seek(0)
    return bool(hashlib.sha256(file.read(place["head"])).hexdigest() == place["digest"])


def _renamed(path: Path, place: dict[str, Any]) -> Path | None:
    """Where the file that was read is now, by its inode."""
    for candidate in path.parent.glob(f"{path.name}*"):
        try:
            state = candidate.stat()
        except OSError:
            continue
        if state.st_ino == place["inode"] and state.st_dev == place["device"]:
            with candidate.open("rb") as file:
                if _is_continued(file, place, state.st_size):
                    return candidate
    return None


def _record(line: bytes, program: str, now_ms: int) -> LogRecord:
    """A line; its head is read where it has one, else it is taken as it is and as of now."""
    text = line.decode(errors="replace")
    at_ms, rest = now_ms, text
    if found := _PLAIN.match(text):
        at_ms = int(datetime.fromisoformat(found["at"]).astimezone().timestamp() * 1000)
        return LogRecord(at_ms=at_ms, severity=6, source=program[:128], message=found["rest"])
    if found := _ISO.match(text):
        at_ms, rest = int(datetime.fromisoformat(found["at"]).timestamp() * 1000), found["rest"]
    elif (found := _OLD.match(text)) and found["month"] in MONTHS:
        at_ms, rest = _old_time(found, now_ms), found["rest"]
    else:
        return LogRecord(at_ms=now_ms, severity=6, source=program[:128], message=text)
    if tag := _TAG.match(rest):
        attrs = {"pid": tag["pid"]} if tag["pid"] else {}
        return LogRecord(at_ms=at_ms, severity=6, source=tag["source"], message=tag["message"], attrs=attrs)
    return LogRecord(at_ms=at_ms, severity=6, source=program[:128], message=rest)


def _old_time(found: re.Match[str], now_ms: int) -> int:
    """A time without a year, in this machine's zone: the last such time that is not in the future."""
    year = time.localtime(now_ms / 1000).tm_year
    for guess in (year, year - 1):
        stamp = time.strptime(
            f"{guess} {found['month']} {found['day']} {found['clock']}", "%Y %b %d %H:%M:%S"
        )
        at_ms = int(time.mktime(stamp) * 1000)
        if at_ms <= now_ms + 86_400_000:
            return at_ms
    return now_ms
