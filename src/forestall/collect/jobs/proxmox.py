"""Proxmox VE (vzdump) and Proxmox Backup Server by what they tell: the job's mail, the task's log, the list
of tasks of the API. Read from recordings of our own after the documented formats, not against a product."""

import json
import re
from datetime import UTC, tzinfo
from typing import Any

from forestall.collect.backups.heard import RUNS_MAX, RunHeard, duration_s, size_of, time_ms
from forestall.collect.backups.mails import Mail
from forestall.kernel.backups import Said
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="proxmox",
    title="Proxmox VE and Backup Server",
    about="Reads vzdump's job mails and task logs, and lists of tasks of the API: a run for each guest.",
    source="Proxmox VE documentation: vzdump(1), Notifications; API: /nodes/{node}/tasks",
    settings=(Setting("job", "Guest", help="Its number: 100; empty: all of the job"),),
    limits="What the product says of itself: level 0. Not run against a real Proxmox.",
    produces=("run",),
)
_SUBJECT = re.compile(r"vzdump backup status(?: \((?P<host>[^)]+)\))?: (?P<how>.+)", re.I)
_ROW = re.compile(
    r"^\s*(?P<id>\d{1,9})\s+(?P<name>\S+)\s+(?P<how>ok|err|error|failed|warnings?)\s+"
    r"(?P<time>\d+:\d\d:\d\d|(?:\d+[dhms] ?)+)\s*(?P<rest>.*)$", re.I | re.M,
)  # fmt: skip
_LINE = re.compile(
    r"^(?:\d+: )?(?:(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) )?(?P<level>INFO|ERROR|WARN(?:ING)?): "
    r"(?P<text>.*)$",
    re.M,
)
_HOW: dict[str, Said] = {"ok": "success", "warning": "warning", "warnings": "warning"}


def read_mail(mail: Mail) -> list[RunHeard]:
    """A run for each guest of the table; empty when it is no such mail."""
    subject = _SUBJECT.search(mail.subject)
    if subject is None:
        return []
    host = subject["host"] or ""
    rows = [_row(row, host, mail) for row in _ROW.finditer(mail.text)]
    if rows:
        return rows
    from_log = read_log(mail.text, host=host, zone=mail.zone)
    said: Said = "unknown"
    if "success" in subject["how"].lower():
        said = "success"
    elif "fail" in subject["how"].lower():
        said = "failed"
    return from_log or [
        RunHeard(
            tool="proxmox", said=said, by="mail", host=host, job="", key=mail.identifier, ended_ms=mail.at_ms,
            reason=f"vzdump says {subject['how']!r}, and names no guest", text=mail.text[:4000],
        )
    ]  # fmt: skip


def read_log(text: str, *, host: str = "", zone: tzinfo = UTC) -> list[RunHeard]:
    """The runs of a task's log: from "Starting Backup of VM" to "Finished" or "failed"."""
    runs: list[RunHeard] = []
    guest, began, size, transferred, warned = "", None, None, None, 0
    for line in _LINE.finditer(text):
        said, at = line["text"], time_ms(line["at"], zone) if line["at"] else None
        if start := re.match(r"Starting Backup of VM (\d+)", said):
            guest, began, size, transferred, warned = start[1], at, None, None, 0
        elif stamp := re.match(r"Backup started at (.+)", said):
            began = began or time_ms(stamp[1], zone)
        elif archive := re.search(r"archive file size: (\S+)", said):
            size = size_of(archive[1])
        elif moved := re.search(r"transferred ([\d.]+ \S+) in", said):
            transferred = size_of(moved[1])
        elif line["level"].startswith("WARN"):
            warned += 1
        ended = re.match(r"Finished Backup of VM (\d+)(?: \(([^)]*)\))?", said)
        failed = re.match(r"Backup of VM (\d+) failed(?: - (.*))?", said)
        if (match := ended or failed) is None or len(runs) >= RUNS_MAX:
            continue
        took = duration_s(match[2] or "") if ended else None
        ended_ms = at or (began + took * 1000 if began is not None and took is not None else None)
        how: Said = "failed" if failed else "warning" if warned else "success"
        reason = f"backup of guest {match[1]} failed: {match[2] or 'no reason given'}" if failed else (
            f"backup of guest {match[1]} finished{f' with {warned} warnings' if warned else ''}"
        )  # fmt: skip
        runs.append(
            RunHeard(
                tool="proxmox", said=how, reason=reason, by="log", job=match[1], host=host, warnings=warned,
                key=f"{host}/{match[1]}@{began or ended_ms or 0}",
                began_ms=began if guest == match[1] else None,
                ended_ms=ended_ms, size=size, added=transferred,
            )
        )  # fmt: skip
    return runs


def read_tasks(answer: str | bytes) -> list[RunHeard]:
    """The API's list of tasks. Raises ValueError for what is none."""
    found = json.loads(answer)
    tasks = found.get("data") if isinstance(found, dict) else None
    if not isinstance(tasks, list):
        raise ValueError("it has no list `data`: ask /nodes/NODE/tasks for it")
    return [run for task in tasks[:RUNS_MAX] if isinstance(task, dict) and (run := _task(task)) is not None]


def _task(task: dict[str, Any]) -> RunHeard | None:
    kind, began = task.get("type") or task.get("worker_type"), task.get("starttime")
    if kind not in {"vzdump", "backup"} or not isinstance(began, int):
        return None
    ended, status = task.get("endtime"), str(task.get("status") or "")
    said: Said = "failed"
    if not isinstance(ended, int):
        said, status = "running", "it runs"
    elif status == "OK":
        said = "success"
    elif status.startswith("WARNINGS"):
        said = "warning"
    name = str(task.get("id") or task.get("worker_id") or "")
    return RunHeard(
        tool="proxmox", said=said, reason=f"the task of {name or 'all guests'} ended: {status[:500]}",
        by="log",
        job=name.rpartition("/")[2], host=str(task.get("node", "")), key=str(task.get("upid", ""))[:160],
        began_ms=began * 1000, ended_ms=ended * 1000 if isinstance(ended, int) else None,
    )  # fmt: skip


def _row(row: "re.Match[str]", host: str, mail: Mail) -> RunHeard:
    said = _HOW.get(row["how"].lower(), "failed")
    took, rest = duration_s(row["time"]), row["rest"].strip()
    began = mail.at_ms - took * 1000 if mail.at_ms is not None and took is not None else None
    why = f": {rest[:500]}" if said == "failed" and rest else ""
    place = re.search(r"\S*(?:vzdump-|/)\S*$", rest)
    return RunHeard(
        tool="proxmox", said=said, by="mail", job=row["id"], host=host, began_ms=began, ended_ms=mail.at_ms,
        reason=f"vzdump says {row['how']} of guest {row['id']} ({row['name']}){why}",
        size=size_of(rest) if said != "failed" else None, key=f"{mail.identifier}/{row['id']}"[:160],
        copy=place[0] if place and said != "failed" else "", text=mail.text[:4000],
    )  # fmt: skip
