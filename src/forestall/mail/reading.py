"""A raw message becomes facts and content. Pure, bounded: whatever comes in, something comes out, and what
was left out is said in `Content.notes`.

Source: RFC 5322, RFC 2045 to 2047, RFC 5545 (invitations), RFC 3464 (bounces), RFC 8551 (S/MIME).
"""

import email
import email.policy
import re
from collections.abc import Collection
from dataclasses import dataclass, field, fields, is_dataclass, replace
from email.message import Message
from typing import Any, TypeVar, cast

from forestall.mail import enveloped, pages, parts
from forestall.mail.folding import fold
from forestall.mail.headers import MARK, decode_bytes, facts_of, identifiers_of, one_line, text_of
from forestall.mail.tokens import is_mark
from forestall.mail.values import Arrived, Content, Facts, Part

Thing = TypeVar("Thing")
BOUNDARIES_MAX = 60
DEPTH_MAX = 12
PIECES_MAX = 200
TEXT_MAX_CHARS = 200_000
TEXTS_MAX = 5
HEAD_MAX_BYTES = 512 << 10
NOTES_MAX = 20
REPORT_CHARS = 2_000

_EVENT = re.compile(r"^(SUMMARY|DTSTART|DTEND|LOCATION|ORGANIZER)[^:\n]{0,200}:(.{0,500})$", re.M)


@dataclass(slots=True)
class _Found:
    """What the walk through a message has gathered."""

    plain: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    report_of: list[str] = field(default_factory=list)
    report: str = ""
    signed: str = ""
    pieces: int = 0


def read_message(
    raw: bytes, arrived: Arrived, *, key: bytes, trusted: Collection[str] = ()
) -> tuple[Facts, Content]:
    """Facts and content of a message. `key` is that of mail.tokens; `trusted` as in headers.facts_of."""
    found = _Found()
    message = _parse(raw, found)
    _walk(message, found, 0)
    identifiers = identifiers_of(message.get("message-id", ""))
    ours = is_mark(key, identifiers[-1] if identifiers else "", one_line(str(message.get(MARK, "")))[:40])
    facts = facts_of(message, arrived, trusted=trusted, ours=ours, report_of=found.report_of)
    return _keepable(facts), _keepable(_content(found))


def _keepable(value: Thing) -> Thing:
    """The same with texts that a database keeps: without NUL, and without what is no letter."""
    kept: Any = value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # bytes that were no letters, carried along as surrogates
            kept = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        kept = kept.replace("\0", "")
    elif isinstance(value, tuple):
        kept = tuple(_keepable(one) for one in value)
    elif isinstance(value, dict):
        kept = {_keepable(name): _keepable(one) for name, one in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        texts = {one.name: getattr(value, one.name) for one in fields(value)}
        kept = replace(value, **{name: _keepable(one) for name, one in texts.items()})
    return cast(Thing, kept)


def _parse(raw: bytes, found: _Found) -> Message:
    """The message; of one that is nested beyond reason its head alone, the rest as a file."""
    if raw.lower().count(b"boundary") <= BOUNDARIES_MAX:
        try:
            return email.message_from_bytes(raw, policy=email.policy.compat32)
        except Exception as error:  # what comes from outside can break any parser of mails
            found.notes[f"it cannot be taken apart ({type(error).__name__}): it is attached as it came"] = (
                None
            )
    else:
        found.notes["it is made of too many parts to be taken apart: it is attached as it came"] = None
    found.parts.append(parts.part_of(raw, name="message.eml", claimed="message/rfc822"))
    head = re.split(rb"\r?\n\r?\n", raw[:HEAD_MAX_BYTES], maxsplit=1)[0]
    message = email.message_from_bytes(head + b"\n\n", policy=email.policy.compat32)
    del message["content-type"]
    return message


def _walk(piece: Message, found: _Found, depth: int) -> None:
    """A part and what is in it. One that breaks the library is a file as it came; the others are read."""
    found.pieces += 1
    if found.pieces > PIECES_MAX or depth > DEPTH_MAX:
        found.notes[f"more than {PIECES_MAX} parts, or {DEPTH_MAX} levels: the rest was left out"] = None
        return
    try:
        _read_part(piece, found, depth)
    except Exception as error:  # a charset with a NUL, a parameter that no rule covers, and the like
        found.notes[f"a part cannot be read ({type(error).__name__}): it is attached as it came"] = None
        held = piece._payload  # type: ignore[attr-defined]  # what get_payload stumbles over
        data = held.encode("utf-8", "surrogateescape") if isinstance(held, str) else b""
        _attach(data, "part.bin", "application/octet-stream", found)


def _read_part(piece: Message, found: _Found, depth: int) -> None:
    kind = piece.get_content_type()
    payload = piece.get_payload() if piece.is_multipart() else None
    if kind == "message/delivery-status":
        found.report = _report_of(piece)
        return
    if kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers"):
        _enclosed(piece, found)
        return
    if isinstance(payload, list):
        _note_signature(piece, kind, found)
        for one in payload:
            if isinstance(one, Message):
                _walk(one, found, depth + 1)
        return
    data = piece.get_payload(decode=True)
    data = data if isinstance(data, bytes) else b""
    if piece.defects:
        found.notes[f"repaired: {type(piece.defects[0]).__name__}"] = None
    _leaf(piece, kind, data, found, depth)


def _leaf(piece: Message, kind: str, data: bytes, found: _Found, depth: int) -> None:
    name = _name_of(piece)
    attached = one_line(str(piece.get("content-disposition", "")))[:40].lower().startswith("attachment")
    if kind in ("application/ms-tnef", "application/vnd.ms-tnef") or name.lower() == "winmail.dat":
        _tnef(data, found)
    elif kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        _smime(data, found, depth)
    elif kind == "text/calendar":
        found.events.append(_event(_decoded(piece, data, found)))
        _attach(data, name or "invitation.ics", kind, found)
    elif kind in ("text/plain", "text/html") and not attached and not (name and kind == "text/html"):
        texts = found.pages if kind == "text/html" else found.plain
        if len(texts) < TEXTS_MAX:
            texts.append(_decoded(piece, data, found))
        else:
            _attach(data, name or "text.txt", kind, found)
    elif kind in (
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "application/pgp-signature",
    ):
        return
    elif data or name:
        inline = one_line(str(piece.get("content-id", "")))[:260].strip("<>")
        _attach(data, name or _default_name(kind), kind, found, inline=inline)


def _attach(data: bytes, name: str, kind: str, found: _Found, inline: str = "") -> None:
    if len(found.parts) >= parts.PARTS_MAX:
        found.notes[f"more than {parts.PARTS_MAX} attachments: the rest is in the original alone"] = None
        return
    found.parts.append(parts.part_of(data, name=name, claimed=kind, inline=inline))


def _decoded(piece: Message, data: bytes, found: _Found) -> str:
    charset = str(piece.get_content_charset() or "")
    if not charset and data[:3] in (b"\xff\xfe", b"\xfe\xff"):
        charset = "utf-16"
    text, repaired = decode_bytes(data, charset or "utf-8")
    if repaired:
        found.notes[f"its text is not in the charset that it says ({one_line(charset)[:40] or 'none'})"] = (
            None
        )
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")[: 4 * TEXT_MAX_CHARS]


def _name_of(piece: Message) -> str:
    try:
        return text_of(piece.get_filename() or "")
    except Exception:  # parameters that no rule covers: the part goes without its name
        return ""


def _default_name(kind: str) -> str:
    end = kind.rpartition("/")[2]
    return f"attachment.{end}" if re.fullmatch(r"[a-z0-9]{2,5}", end) else "attachment"


def _enclosed(piece: Message, found: _Found) -> None:
    """A message in the message: in a bounce the one that came back, else an attachment."""
    payload = piece.get_payload() if piece.is_multipart() else None
    inner = payload[0] if isinstance(payload, list) and payload else None
    if isinstance(inner, Message):
        found.report_of += identifiers_of(inner.get("message-id", ""))
        try:
            data = inner.as_bytes(policy=email.policy.compat32)
        except Exception:  # the generator refuses what the parser let through
            data = str(inner.get("subject", "")).encode("utf-8", "replace")
        subject = text_of(inner.get("subject", "")) or "message"
    else:
        raw = piece.get_payload(decode=True)
        data, subject = (raw if isinstance(raw, bytes) else b""), "headers"
        found.report_of += identifiers_of(
            (re.findall(rb"(?im)^message-id:\s*(<[^<>\s]{1,250}>)", data[:HEAD_MAX_BYTES]) or [b""])[
                0
            ].decode("ascii", "replace")
        )
    _attach(data, f"{subject[:80]}.eml", "message/rfc822", found)


def _report_of(piece: Message) -> str:
    """Who did not get it and why, in the words of the server."""
    payload = piece.get_payload()
    said = []
    for one in payload[:20] if isinstance(payload, list) else []:
        if isinstance(one, Message):
            said += [
                f"{name}: {text_of(one.get(name, ''))[:300]}"
                for name in ("Final-Recipient", "Action", "Status", "Diagnostic-Code")
                if one.get(name)
            ]
    return "\n".join(said)[:REPORT_CHARS]


def _note_signature(piece: Message, kind: str, found: _Found) -> None:
    protocol = one_line(str(piece.get_param("protocol") or "")).lower()[:60]
    if kind == "multipart/signed":
        found.signed = f"signed ({'PGP' if 'pgp' in protocol else 'S/MIME'}), not checked"
    elif kind == "multipart/encrypted":
        found.signed = "encrypted (PGP): only its recipient can read it"


def _smime(data: bytes, found: _Found, depth: int) -> None:
    if enveloped.is_enveloped(data):
        found.signed = "encrypted (S/MIME): only its recipient can read it"
        _attach(data, "smime.p7m", "application/pkcs7-mime", found)
        return
    try:
        inner = enveloped.signed_content(data)
        found.signed = "signed (S/MIME), not checked"
        if inner.lower().count(b"boundary") <= BOUNDARIES_MAX:
            _walk(email.message_from_bytes(inner, policy=email.policy.compat32), found, depth + 1)
    except Exception as error:
        found.notes[f"its S/MIME envelope cannot be read ({error})"[:200]] = None
        _attach(data, "smime.p7m", "application/pkcs7-mime", found)


def _tnef(data: bytes, found: _Found) -> None:
    try:
        text, page, files = parts.open_tnef(data)
    except ValueError as error:
        found.notes[f"its winmail.dat stays closed: {error}"] = None
        _attach(data, "winmail.dat", "application/ms-tnef", found)
        return
    found.notes["its winmail.dat (from Outlook) was opened"] = None
    if text:
        found.plain.append(text)
    if page:
        found.pages.append(page)
    for name, content in files:
        _attach(content, name, "application/octet-stream", found)


def _event(text: str) -> str:
    """An invitation in words."""
    unfolded = re.sub(r"\n[ \t]", "", text[: 64 << 10])
    said: dict[str, str] = dict(reversed(_EVENT.findall(unfolded)))
    title = {"SUMMARY": "What", "DTSTART": "From", "DTEND": "To", "LOCATION": "Where", "ORGANIZER": "By"}
    clean = (f"{title[name]}: {one_line(said[name].replace(chr(92), ''))}" for name in title if name in said)
    return "\n".join(clean)


def _content(found: _Found) -> Content:
    page = "\n<hr>\n".join(found.pages)
    text = "\n\n".join(one for one in found.plain if one.strip())
    safe, why = pages.make_safe(page) if page.strip() else ("", "")
    if why:
        found.notes[why] = None
    if not text.strip() and page.strip():
        text = pages.flat(page)
    events = "\n\n".join(one for one in found.events if one)
    extra = "\n\n".join(one for one in (found.report, f"Invitation\n{events}" if events else "") if one)
    text = text.strip()[:TEXT_MAX_CHARS]
    said = fold(text)
    if extra:
        text, said = f"{text}\n\n{extra}".strip(), f"{said}\n\n{extra}".strip()
    return Content(
        text=text,
        said=said or found.signed or ("" if not found.parts else "(attachments only)"),
        page=safe,
        parts=tuple(found.parts),
        notes=tuple(found.notes)[:NOTES_MAX],
        signed=found.signed,
    )
