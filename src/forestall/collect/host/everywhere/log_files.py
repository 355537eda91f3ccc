"""Lines of log files that the journal does not have, with the head of each line read."""

import calendar
import os
import re
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from forestall.collect.following import LINE_MAX_BYTES, MTIME_COARSE_NS, follow, original
from forestall.collect.host.linux.journald import journal_files
from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Setting, Spec

EVERY_S = 2
FOLLOWS = True
SPEC = Spec(
    name="log_files",
    title="Log files",
    about="Lines that are added to log files; place kept across restarts, rename and copytruncate. "
    "Files that repeat the systemd journal are left out where the journal can be read.",
    source="logrotate(8); RFC 3164 section 4 and RFC 3339 for the head of a line",
    settings=(Setting("more", "More files", kind="lines", default=[], help="Patterns below /, one a line."),),
    limits="2 MB and 10,000 lines a look; a line has at most 64 KiB; rotated files may be gzipped.",
)
JOURNAL_TOO = ("var/log/syslog", "var/log/messages", "var/log/auth.log", "var/log/secure", "var/log/kern.log")
FILES = ("var/log/dpkg.log", "var/log/dnf.log", "var/log/yum.log")
BYTES_A_LOOK = 2 << 20
LINES_A_LOOK = 10_000
FILES_MAX = 200
ROTATED_MAX = 2_000
AT_MAX_MS = 1 << 52
MONTHS = frozenset(calendar.month_abbr[1:])
FACILITIES = {"auth": 10, "secure": 10, "kern": 0, "mail": 2, "cron": 9, "daemon": 3}
_ISO = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) \S+ (?P<rest>.*)", re.DOTALL
)
_OLD = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d) \S+ (?P<rest>.*)", re.DOTALL
)
_PLAIN = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d+)? (?P<rest>.*)", re.DOTALL
)  # dpkg, apt: local time
_TAG = re.compile(r"(?P<source>[^\s:\[]{1,128})(?:\[(?P<pid>\d{1,20})\])?: ?(?P<message>.*)", re.DOTALL)


def look(view: View) -> Reading:
    """New lines of every file. `kept`: the patterns that were followed, the places of each path, and when
    these two last changed: a file that was made since, and rotated away unseen, is read as well."""
    patterns = [*FILES, *(pattern.lstrip("/") for pattern in view.settings.get("more", []))]
    if not any(os.access(path, os.R_OK) for path in journal_files(view.root)):
        patterns = [*JOURNAL_TOO, *patterns]
    known: list[str] = view.kept.get("patterns", [])
    before: dict[str, Any] = view.kept.get("files", {})
    reading, files = Reading(), {}
    paths = {path: pattern in known for pattern in patterns for path in sorted(view.root.glob(pattern))}
    chosen = [path for path in paths if str(path) in before or path.is_file()][:FILES_MAX]
    gone = [Path(name) for name in before if Path(name) not in paths]  # rotated away: the rest is read
    wanted = [str(view.root / pattern) for pattern in patterns]
    chosen += [path for path in gone if any(map(path.match, wanted))][: FILES_MAX - len(chosen)]
    looked_ms: int | None = view.kept.get("looked_ms")
    since_ns = None if looked_ms is None else looked_ms * 1_000_000
    if since_ns is not None:
        unseen = _rotated_unseen(
            view.root, [one for one in patterns if one in known], paths, since_ns=since_ns
        )
        chosen += sorted(unseen - set(chosen))[: FILES_MAX - len(chosen)]
    share = (max(LINE_MAX_BYTES, BYTES_A_LOOK // max(1, len(chosen))), LINES_A_LOOK // max(1, len(chosen)))
    for path in chosen:
        try:
            found = follow(
                path,
                before.get(str(path), []),
                from_start=paths.get(path, True),
                most_bytes=share[0],
                most_lines=max(1, share[1]),
                now_s=view.now_ms / 1000,
                since_ns=since_ns,
            )
        except OSError as error:
            reading.logs += _refused(view, path, error)
            files[str(path)] = before.get(str(path), [])
            continue
        if found.places:
            files[str(path)] = found.places
        reading.more = reading.more or found.more
        reading.logs += [record(line, path.stem, view.now_ms) for line in found.lines]
    if looked_ms is None or reading.logs or (patterns, files) != (known, before):
        reading.keep = {"patterns": patterns, "files": files, "looked_ms": view.now_ms}
    return reading


def _rotated_unseen(
    root: Path, patterns: Sequence[str], paths: Collection[Path], *, since_ns: int
) -> set[Path]:
    """Files with rotated generations that were written since and are not followed by their own names."""
    found = set()
    for pattern in patterns:
        for path in islice(root.glob(f"{pattern}*"), ROTATED_MAX):
            name = original(path, pattern.rpartition("/")[2]) if path not in paths else None
            try:
                if name and path.stat().st_mtime_ns >= since_ns - MTIME_COARSE_NS:
                    found.add(path.with_name(name))
            except OSError:  # renamed at this moment: it has its new name at the next look
                continue
    return found


def _refused(view: View, path: Path, error: OSError) -> list[LogRecord]:
    """Said once a file."""
    said = view.memory.setdefault("refused", {})
    why = f"{path} is not followed: {error.strerror or error}"
    if said.get(str(path)) == why:
        return []
    said[str(path)] = why
    return [LogRecord(at_ms=view.now_ms, severity=4, source="forestall-agent", message=why)]


def record(line: bytes, program: str, now_ms: int) -> LogRecord:
    """A line; its head is read where it has one, else it is taken as it is and as of now. Raises nothing."""
    text = line.decode(errors="replace")
    at_ms, rest = _head(text, now_ms)
    facility = next((number for name, number in FACILITIES.items() if program.startswith(name)), 1)
    source, attrs = program[:128], {}
    if at_ms is not None and (tag := _TAG.match(rest)) and not _PLAIN.match(text):
        source, rest = tag["source"], tag["message"]
        attrs = {"pid": tag["pid"]} if tag["pid"] else {}
    return LogRecord(
        at_ms=now_ms if at_ms is None else at_ms,
        severity=6,
        source=source,
        message=rest,
        facility=0 if source == "kernel" else facility,
        attrs=attrs,
    )


def _head(text: str, now_ms: int) -> tuple[int | None, str]:
    """The time at the head of a line and what follows it; None when there is none that makes sense."""
    try:
        if found := _PLAIN.match(text):
            at = datetime.fromisoformat(found["at"]).astimezone()
        elif found := _ISO.match(text):
            at = datetime.fromisoformat(found["at"])
        elif (found := _OLD.match(text)) and found["month"] in MONTHS:
            return _old_time(found, now_ms), found["rest"]
        else:
            return None, text
        at_ms = int(at.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None, text
    return (at_ms, found["rest"]) if 0 <= at_ms < AT_MAX_MS else (None, text)


def _old_time(found: re.Match[str], now_ms: int) -> int:
    """A time without a year, in this machine's zone: the last such time that is not in the future.

    Raises ValueError for a day that this month does not have in either year.
    """
    year = time.localtime(now_ms / 1000).tm_year
    wrong: ValueError | None = None
    for guess in (year + 1, year, year - 1):
        try:
            stamp = time.strptime(
                f"{guess} {found['month']} {found['day']} {found['clock']}", "%Y %b %d %H:%M:%S"
            )
        except ValueError as error:  # 29 February of another year
            wrong = error
            continue
        at_ms = int(time.mktime(stamp) * 1000)
        if at_ms <= now_ms + 86_400_000:
            return at_ms
    raise wrong or ValueError("no such time")
