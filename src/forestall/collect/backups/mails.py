"""Chooses which product wrote a mail about its backups, and reads its runs. Pure: bytes in, runs out.

A mail that nobody understands is a run of which nothing is known: it is kept, and says why.
"""

import email
import email.policy
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from types import ModuleType

from forestall.collect.backups.heard import KEPT_CHARS, RUNS_MAX, TEXT_MAX_CHARS, RunHeard
from forestall.kernel.plugins import OnDemand

MAIL_MAX_BYTES = 8 << 20
PARTS_MAX = 50
HTML_MAX_CHARS = 4 << 20
TELLERS = ("proxmox", "synology", "veeam", "windows_server_backup")
_HIDDEN = re.compile(r"<(script|style)\b", re.I)
_CELL = re.compile(r"</t[dh]\s*>", re.I)
_ROW = re.compile(r"<br\s*/?>|</(?:tr|p|div|h\d|li|pre|table)\s*>", re.I)
_TAG = re.compile(r"<[^<>]{0,4000}>")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as its readers get it. `text`: of its plain part, else of its HTML, a tab between cells. `zone`:
    of times without one, from the mail's own date."""

    subject: str
    sender: str
    text: str
    at_ms: int | None
    identifier: str
    zone: tzinfo = UTC


def read_mail(raw: bytes, *, tellers: Mapping[str, ModuleType] | None = None) -> list[RunHeard]:
    """All runs that a mail tells of: at least one, of which nothing may be known."""
    if len(raw) > MAIL_MAX_BYTES:
        return [
            _unknown(None, f"the mail has {len(raw)} bytes, and {MAIL_MAX_BYTES} are the most that is read")
        ]
    try:
        mail = parse(raw)
    except Exception as error:  # what comes from outside can break any parser of mails
        return [_unknown(None, f"it cannot be read as a mail ({type(error).__name__}: {error})"[:500])]
    found = OnDemand("forestall.collect.jobs") if tellers is None else tellers
    for name in TELLERS if tellers is None else tellers:
        runs = found[name].read_mail(mail)
        if runs:
            return list(runs)[:RUNS_MAX]
    return [
        _unknown(mail, "no product that is known here writes such a mail: forward its job mails as they are")
    ]


def parse(raw: bytes) -> Mail:
    """Raises what the parser of mails raises."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    at_ms, zone = None, UTC
    if date := message["date"]:
        try:
            at = parsedate_to_datetime(str(date))
            at_ms = round(at.timestamp() * 1000)
            zone = at.tzinfo or UTC  # type: ignore[assignment]
        except (ValueError, OverflowError):
            pass  # without its date it still says how the run went
    return Mail(
        _line(message["subject"]), _line(message["from"]), _text(message)[:TEXT_MAX_CHARS], at_ms,
        _line(message["message-id"]), zone,
    )  # fmt: skip


def plain(text: str) -> str:
    """What HTML shows, a line for a row and a tab between cells."""
    text = _shown(text[:HTML_MAX_CHARS])
    text = re.sub(r"\s+", " ", text)
    text = _TAG.sub("", _ROW.sub("\n", _CELL.sub("\t", text)))
    lines = (re.sub(r"[ \xa0]+", " ", html.unescape(line)).strip(" ") for line in text.split("\n"))
    return "\n".join(line for line in lines if line.strip())


def _shown(text: str) -> str:
    """Without scripts and styles; one that does not end goes to the end. Looks at every character once."""
    kept, at, small = [], 0, text.lower()
    while found := _HIDDEN.search(text, at):
        kept.append(text[at : found.start()])
        end = small.find(f"</{found[1].lower()}", found.end())
        close = text.find(">", end) if end >= 0 else -1
        if close < 0:
            return " ".join(kept)
        at = close + 1
    return " ".join([*kept, text[at:]])


def _text(message: EmailMessage) -> str:
    parts = [part for part, _ in zip(message.walk(), range(PARTS_MAX), strict=False)]
    for kind in ("text/plain", "text/html"):
        found = [_content(part) for part in parts if part.get_content_type() == kind]
        text = "\n".join(one for one in found if one.strip())
        if text.strip():
            return plain(text) if kind == "text/html" else text
    return ""


def _content(part: object) -> str:
    assert isinstance(part, EmailMessage)
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        return data.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _line(value: object) -> str:
    return re.sub(r"\s+", " ", str(value or "")).strip()[:1000]


def _unknown(mail: Mail | None, why: str) -> RunHeard:
    if mail is None:
        return RunHeard(tool="", said="unknown", reason=why, by="mail")
    return RunHeard(
        tool="", said="unknown", reason=f"{mail.subject[:200]!r}: {why}", by="mail", job=mail.subject[:200],
        key=mail.identifier, ended_ms=mail.at_ms, text=mail.text[:KEPT_CHARS],
    )  # fmt: skip
