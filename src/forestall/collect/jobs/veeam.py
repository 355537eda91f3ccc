"""Veeam Backup & Replication by what it tells: the job's mail, and sessions of its REST API. Read from
recordings of our own after the documented formats, not against a product."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

from forestall.collect.backups.heard import RUNS_MAX, RunHeard, duration_s, size_of, time_ms
from forestall.collect.backups.mails import Mail
from forestall.kernel.backups import Said
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="veeam",
    title="Veeam Backup & Replication",
    about="Reads the mails of Veeam's jobs and the sessions of its REST API.",
    source="Veeam Backup & Replication User Guide: Email Notifications; REST API reference: /api/v1/sessions",
    settings=(Setting("job", "Job", help="Its name as Veeam writes it"),),
    limits="What the product says of itself: level 0. Not run against a real Veeam; times of a mail are in "
    "the zone of the mail.",
    produces=("run",),
)  # fmt: skip
_SUBJECT = re.compile(
    r"\[(?P<how>Success|Warning|Failed|Error)\]\s*(?P<job>.+?)"
    r"(?:\s+\((?P<of>\d+) (?:objects?|VMs?|machines?|items?)\).*)?$", re.I,
)  # fmt: skip
_HOW: dict[str, Said] = {"success": "success", "warning": "warning", "failed": "failed", "error": "failed"}
_KINDS = {"Backup", "BackupJob", "Job", "BackupCopy", "ReplicationJob", "Replica"}


def read_mail(mail: Mail) -> list[RunHeard]:
    """One run for the job; empty when it is no such mail."""
    subject = _SUBJECT.search(mail.subject)
    text = mail.text
    if subject is None or not ("veeam" in (text + mail.sender).lower() or _value(text, "Data read")):
        return []
    said = _HOW[subject["how"].lower()]
    counts = {
        name: int(found[1]) if (found := re.search(rf"\b{name}\s{{0,99}}:?\s{{0,99}}(\d+)\b", text)) else None
        for name in ("Success", "Warning", "Error")
    }
    if said == "success" and counts["Error"]:
        said = "failed"
    elif said == "success" and counts["Warning"]:
        said = "warning"
    took = duration_s(_value(text, "Duration"))
    began = _when(mail, _value(text, "Start time"))
    ended = _when(mail, _value(text, "End time"))
    if began is not None and took is not None:
        ended = began + took * 1000
    details = [
        line.strip() for line in text.splitlines() if re.search(r"\b(?:Error|Warning|Failed)\b.{12,}", line)
    ]
    more = f": {'; '.join(details[:3])}" if details and said != "success" else ""
    return [
        RunHeard(
            tool="veeam", said=said, by="mail", job=subject["job"].strip()[:200],
            key=mail.identifier, began_ms=began, ended_ms=ended or mail.at_ms, text=text[:4000],
            reason=f"Veeam says {subject['how']} of {subject['job'].strip()!r}{more}"[:2000],
            size=size_of(_value(text, "Total size")), added=size_of(_value(text, "Backup size"))
            or size_of(_value(text, "Transferred")), warnings=counts["Warning"],
        )
    ]  # fmt: skip


def read_sessions(answer: str | bytes) -> list[RunHeard]:
    """Sessions of the REST API. Raises ValueError for what is none."""
    found = json.loads(answer)
    sessions = found.get("data") if isinstance(found, dict) else None
    if not isinstance(sessions, list):
        raise ValueError("it has no list `data`: ask /api/v1/sessions for it")
    return [
        run for one in sessions[:RUNS_MAX] if isinstance(one, dict) and (run := _session(one)) is not None
    ]


def _session(session: dict[str, Any]) -> RunHeard | None:
    if session.get("sessionType") not in _KINDS:
        return None
    outcome = session.get("result")
    result = outcome if isinstance(outcome, dict) else {}
    state, how = str(session.get("state") or ""), str(result.get("result") or "None")
    said: Said = _HOW.get(how.lower(), "unknown")
    if state not in {"Stopped", ""}:
        said = "running"
    message = str(result.get("message") or "")
    more = f": {message}" if message else ""
    return RunHeard(
        tool="veeam", said=said, by="log", job=str(session.get("name", ""))[:200],
        key=str(session.get("id", ""))[:160],
        began_ms=time_ms(str(session.get("creationTime") or "")),
        ended_ms=time_ms(str(session.get("endTime") or "")),
        reason=f"the session is {state or 'ended'}, its result {how}{more}"[:2000],
    )  # fmt: skip


def _value(text: str, name: str) -> str:
    """What stands behind a name, in its row or the next line."""
    found = re.search(rf"\b{re.escape(name)}[ \t\n]{{0,9}}:?[ \t\n]{{1,99}}([^\s][^\t\n]*)", text)
    return found[1].strip() if found else ""


def _when(mail: Mail, text: str) -> int | None:
    """A time with its date; Veeam's table has only the clock, which counts on the mail's day or before."""
    if (at := time_ms(text, mail.zone)) is not None:
        return at
    clock = re.fullmatch(r"(\d{1,2}):(\d\d):(\d\d)(?:\s*([AP])M)?", text, re.I)
    if clock is None or mail.at_ms is None:
        return None
    hour = int(clock[1]) % 12 + 12 * (clock[4].upper() == "P") if clock[4] else int(clock[1])
    sent = datetime.fromtimestamp(mail.at_ms / 1000, mail.zone)
    try:
        at_day = sent.replace(hour=hour, minute=int(clock[2]), second=int(clock[3]), microsecond=0)
    except ValueError:
        return None
    if at_day > sent + timedelta(minutes=5):
        at_day -= timedelta(days=1)
    return round(at_day.timestamp() * 1000)
