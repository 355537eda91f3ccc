"""Synology's Hyper Backup by what it tells: its mail, and the lines of its log. Read from recordings of our
own after the documented formats, not against a product."""

import re
from datetime import UTC, tzinfo

from forestall.collect.backups.heard import RUNS_MAX, RunHeard, duration_s, time_ms
from forestall.collect.backups.mails import Mail
from forestall.kernel.backups import Said
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="synology",
    title="Synology Hyper Backup",
    about="Reads Hyper Backup's mails and the lines of its log.",
    source="Synology Knowledge Center: Hyper Backup, Settings and Log",
    settings=(Setting("job", "Task", help="Its name as Hyper Backup writes it"),),
    limits="What the product says of itself, in English: level 0. Not run against a real DiskStation.",
    produces=("run",),
)
_OURS = re.compile(r"hyper backup|backup task|data backup", re.I)
_MAKER = re.compile(r"synology|diskstation|hyper backup|\bDSM\b", re.I)
_TASK = re.compile(
    r"(?:backup task|data backup task|task)\s*(?::|name:)?\s*[\[\"'“]?(?P<task>[^\]\"'”\n]{1,64}?)[\]\"'”]?"
    r"(?=\s+(?:on|has|is|was|failed|completed|finished)\b|\s*$|\n)", re.I | re.M,
)  # fmt: skip
_NAMED = re.compile(r"^\s*(?:Backup )?Task(?: name)?:\s*(?P<task>.+?)\s*$", re.I | re.M)
_LOG = re.compile(
    r"^(?P<level>info|warning|err|error)\s+(?P<at>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)\s+(?P<who>[^:]*):\s*"
    r"\[(?P<kind>[^\]]*)\]\[(?P<task>[^\]]*)\]\s*(?P<text>.*)$", re.I | re.M,
)  # fmt: skip
_WORDS: tuple[tuple[Said, re.Pattern[str]], ...] = (
    ("warning", re.compile(r"partially|with (?:some )?(?:errors|warnings)|suspended", re.I)),
    ("failed", re.compile(r"fail|abort|cancel|interrupted|unable|not (?:been )?complete|error", re.I)),
    ("success", re.compile(r"success|is now complete|has been completed|completed|finished", re.I)),
)  # fmt: skip
_COUNTS = {
    "files": re.compile(r"\[([\d,]+) files? scanned\]"), "files_new": re.compile(r"\[([\d,]+) new files?\]"),
    "files_changed": re.compile(r"\[([\d,]+) files? modified\]"),
}  # fmt: skip


def read_mail(mail: Mail) -> list[RunHeard]:
    """One run for the task; empty when it is no such mail."""
    if not _OURS.search(mail.subject) or not _MAKER.search(mail.subject + mail.text + mail.sender):
        return []
    named = _NAMED.search(mail.text) or _TASK.search(mail.subject) or _TASK.search(mail.text)
    task = named["task"].strip() if named else ""
    said = _said(mail.subject)
    if said == "unknown":
        said = _said(mail.text)
    began = time_ms(_after(mail.text, "Start Time"), mail.zone)
    took = duration_s(_after(mail.text, "Duration"))
    ended = began + took * 1000 if began is not None and took is not None else mail.at_ms
    why = next(
        (line.strip() for line in mail.text.splitlines() if re.search(r"fail|error|reason", line, re.I)), ""
    )
    return [
        RunHeard(
            tool="synology", said=said, by="mail", job=task[:200], key=mail.identifier, began_ms=began,
            ended_ms=ended, text=mail.text[:4000],
            host=(re.match(r"\[([^\]]+)\]", mail.subject) or ["", ""])[1],
            reason=f"Hyper Backup says: {mail.subject[:300]}"
            + (f" ({why[:300]})" if why and said != "success" else ""),
        )
    ]  # fmt: skip


def read_log(text: str, *, zone: tzinfo = UTC) -> list[RunHeard]:
    """The runs of a log: a task's start, and how it ended."""
    began: dict[str, int | None] = {}
    runs: list[RunHeard] = []
    for line in _LOG.finditer(text):
        task, said_text, at = line["task"], line["text"], time_ms(line["at"], zone)
        if re.search(r"backup task started", said_text, re.I):
            began[task] = at
            continue
        if not re.search(r"backup task|to run backup|data backup", said_text, re.I) or len(runs) >= RUNS_MAX:
            continue
        said = _said(said_text)
        if line["level"].lower().startswith("err") and said == "success":
            said = "failed"
        if said == "unknown":
            continue
        counts = {
            name: int(found[1].replace(",", ""))
            for name, words in _COUNTS.items() if (found := words.search(said_text))
        }  # fmt: skip
        start = began.pop(task, None)
        runs.append(
            RunHeard(
                tool="synology", said=said, by="log", job=task[:200], began_ms=start, ended_ms=at,
                key=f"{task[:100]}@{start or at}",
                reason=f"Hyper Backup's log: {said_text[:500]}", **counts,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return runs


def _said(text: str) -> Said:
    return next((said for said, words in _WORDS if words.search(text)), "unknown")


def _after(text: str, name: str) -> str:
    found = re.search(rf"{name}\s*:\s*(.+)", text)
    return found[1].strip() if found else ""
