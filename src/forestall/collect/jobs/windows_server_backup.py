"""Windows Server Backup by what it tells: records of its event log, and what wbadmin prints. Read from
recordings of our own after the documented formats, not against a product."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from forestall.collect.backups.adapter import RunRead
from forestall.collect.backups.heard import RUNS_MAX, TEXT_MAX_CHARS, RunHeard, time_ms
from forestall.collect.backups.mails import Mail
from forestall.kernel.backups import CopySeen, Said
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="windows_server_backup",
    title="Windows Server Backup",
    about="Reads the log Microsoft-Windows-Backup and the output of wbadmin.",
    source="Microsoft Learn: wbadmin, Backup Operations events (Microsoft-Windows-Backup)",
    limits="What the product says of itself: level 0. wbadmin in English. Not run against a real Windows.",
    produces=("run",),
)
CHANNEL = "Microsoft-Windows-Backup"
# By event: 1 began, 4 went well, 8 was cancelled; 14 only says that it is over. The rest are failures.
STARTED, WELL, CANCELLED, OVER = 1, 4, 8, 14
FAILED = frozenset({5, 9, 17, 18, 19, 20, 21, 22, 49, 50, 52, 100, 517, 518, 519, 521, 527, 528, 544, 545,
                    546, 561, 564, 612})  # fmt: skip
_EVENT, _EVENT_END = re.compile(r"<Event\b"), "</Event>"
_NAMESPACE = re.compile(r"\sxmlns=(?:'[^']*'|\"[^\"]*\")")
_VERSION = re.compile(r"^Backup time:\s*(?P<at>.+?)\s*$(?P<rest>.*?)(?=^Backup time:|\Z)", re.M | re.S)


def read_events(text: str) -> list[RunHeard]:
    """The runs in events as `wevtutil qe Microsoft-Windows-Backup /f:xml` prints them, the oldest first.
    What is no event is passed over."""
    runs: list[RunHeard] = []
    began: int | None = None
    found = [one for part in _events(text[:TEXT_MAX_CHARS]) if (one := _event(part)) is not None]
    for number, at, record, details in sorted(found, key=lambda one: one[1]):
        if len(runs) >= RUNS_MAX or number == OVER:
            continue
        if number == STARTED:
            began = at
            continue
        said: Said = "success" if number == WELL else "failed"
        how = {WELL: "went well", CANCELLED: "was cancelled"}.get(number, "failed")
        if number not in FAILED | {WELL, CANCELLED}:
            continue
        more = f": {details[:400]}" if details else ""
        runs.append(
            RunHeard(
                tool="windows_server_backup", said=said, by="log", began_ms=began, ended_ms=at,
                key=f"event@{began or at}", text=details[:2000],
                reason=f"the backup {how} (event {number}, record {record}){more}",
            )
        )  # fmt: skip
        began = None
    return runs


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """wbadmin start backup: 0 done (perhaps with warnings), else an error."""
    _ = command
    said = _of_text(output)
    lines = [
        line.strip() for line in output.splitlines() if re.search(r"^(ERROR|Warning)|failed", line.strip())
    ]
    more = f": {'; '.join(lines[:3])}" if lines else ""
    if code != 0 or said == "failed":
        return RunRead("failed", f"wbadmin ended with {code}{more}", version=version)
    if said == "warning":
        return RunRead("warning", f"wbadmin completed with warnings{more}", version=version)
    return RunRead("success", "wbadmin ended with 0", version=version)


def read_mail(mail: Mail) -> list[RunHeard]:
    """The output of wbadmin in a mail; empty when it is no such mail."""
    if "wbadmin" not in mail.text.lower() and "Windows Server Backup" not in mail.subject + mail.text:
        return []
    said = _of_text(mail.text)
    last = next((line.strip() for line in reversed(mail.text.splitlines()) if line.strip()), "")
    return [
        RunHeard(
            tool="windows_server_backup", said=said, by="mail", key=mail.identifier, ended_ms=mail.at_ms,
            reason=f"wbadmin's output says {said}: {last[:400]}", text=mail.text[:4000],
        )
    ]  # fmt: skip


def read_versions(text: str, *, zone: tzinfo = UTC) -> list[CopySeen]:
    """The copies that `wbadmin get versions` lists."""
    copies = []
    for found in _VERSION.finditer(text):
        at = time_ms(found["at"], zone)
        key = re.search(r"^Version identifier:\s*(\S+)", found["rest"], re.M)
        if at is not None and key is not None:
            copies.append(CopySeen(key=key[1][:160], at_ms=at))
    return copies[:RUNS_MAX]


def _of_text(text: str) -> Said:
    if re.search(r"completed with (?:warnings|errors)|completed, but|were not backed up", text, re.I):
        return "warning"
    if re.search(
        r"^\s*ERROR|backup operation (?:has )?(?:failed|stopped)|did not complete", text, re.I | re.M
    ):
        return "failed"
    if re.search(r"backup operation (?:has )?(?:successfully completed|completed successfully)", text, re.I):
        return "success"
    return "unknown"


def _events(text: str) -> Iterator[str]:
    """Each event as it stands there; looks at every character once."""
    at = 0
    while (found := _EVENT.search(text, at)) and (end := text.find(_EVENT_END, found.end())) >= 0:
        at = end + len(_EVENT_END)
        yield text[found.start() : at]


def _event(text: str) -> tuple[int, int, str, str] | None:
    """Number, time in ms, record, and what it says; None for an event of somebody else, or none at all."""
    try:
        event = fromstring(_NAMESPACE.sub("", text))
    except (ParseError, DefusedXmlException, ValueError):
        return None
    system = event.find("System")
    provider = system.find("Provider") if system is not None else None
    if system is None or provider is None or provider.get("Name") != CHANNEL:
        return None
    created = system.find("TimeCreated")
    stamp = re.sub(r"(\.\d{6})\d+", r"\1", created.get("SystemTime", "")) if created is not None else ""
    at, number = time_ms(stamp), (system.findtext("EventID") or "").strip()
    if at is None or not number.isdecimal():
        return None
    details = "; ".join(
        f"{one.get('Name', '')} {(one.text or '').strip()}".strip()
        for one in event.iter("Data") if (one.text or "").strip()
    )  # fmt: skip
    return int(number), at, system.findtext("EventRecordID") or "", details
