"""What the headers of a message say, decoded and cut: broken ones are repaired, none makes us fail. Pure.

Sources: RFC 5322, RFC 2047 (encoded words), RFC 3834 (automatic answers), RFC 3464 (bounces), RFC 8601
(Authentication-Results), MS-OXCMAIL 2.2.3.2.14 (X-Auto-Response-Suppress).
"""

import base64
import binascii
import quopri
import re
from collections.abc import Collection, Sequence
from email.message import Message
from email.utils import parsedate_to_datetime
from itertools import islice

from forestall.mail.values import Arrived, Facts

VALUE_MAX_CHARS = 10_000
HEADERS_MAX = 400
REFERENCES_MAX = 60
RECIPIENTS_MAX = 100
NAME_MAX_CHARS = 160
SUBJECT_MAX_CHARS = 300
MARK = "X-Forestall"  # what we send carries it, signed (mail.tokens)

_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,10})?\?([bBqQ])\?([^?]{0,4000})\?=")
_ID = re.compile(r"<([^<>\s]{1,250})>")
_ANGLE = re.compile(r"<\s*([^<>\s]{1,250}@[^<>\s]{1,250})\s*>")
_BARE = re.compile(r"[^\s<>\",;:()\[\]]{1,100}@[^\s<>\",;:()\[\]]{1,150}")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_RESULT = re.compile(r"\b(spf|dkim|dmarc)\s*=\s*([a-z]{1,20})\b", re.I)
_BETTER = {
    "us-ascii": "utf-8", "ascii": "utf-8", "unknown-8bit": "utf-8", "x-unknown": "utf-8", "utf8": "utf-8",
    "utf8mb4": "utf-8", "unicode-1-1-utf-7": "utf-7", "default": "utf-8", "binary": "utf-8",
    "iso-8859-1": "cp1252", "latin1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030",
    "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "iso-8859-8-i": "iso-8859-8", "cp-850": "cp850",
    "windows-1251": "cp1251", "shift_jis": "cp932", "x-sjis": "cp932", "iso-2022-jp": "iso2022_jp_2",
}  # fmt: skip
_TURNS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)))
_BY_THEMSELVES = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-vacation")
_TEXT_CODECS_MAX = 40


def decode_bytes(data: bytes, charset: str) -> tuple[str, bool]:
    """The text, and whether something had to be repaired: the charset is unknown or not the true one."""
    name = charset.strip().strip("\"'").lower()[:_TEXT_CODECS_MAX] or "utf-8"
    for tried in dict.fromkeys((_BETTER.get(name, name), "utf-8")):
        try:
            text = data.decode(tried)
        except (LookupError, UnicodeError, ValueError):
            continue
        if isinstance(text, str):
            return text, tried == "utf-8" and name not in ("utf-8", "utf8", "us-ascii", "ascii")
    return data.decode("cp1252", "replace"), True


def text_of(value: object) -> str:
    """A header as people read it, in one line: encoded words decoded, eight-bit characters guessed."""
    raw = str(value)[:VALUE_MAX_CHARS]
    try:
        raw.encode("ascii")
    except UnicodeEncodeError:
        raw, _ = decode_bytes(raw.encode("utf-8", "surrogateescape"), "utf-8")
    raw = re.sub(r"(\?=)\s{1,80}(=\?)", r"\1\2", raw)
    found: list[str] = []
    pending, charset, at = b"", "", 0
    for match in _WORD.finditer(raw):
        data = _word_bytes(match[2].lower(), match[3])
        if match.start() != at or charset.lower() != match[1].lower() or data is None:
            found.append(decode_bytes(pending, charset)[0] if pending else "")
            found.append(raw[at : match.start()])
            pending, charset = b"", match[1]
        if data is None:
            found.append(match[0])
        else:
            pending += data
        at = match.end()
    found.append(decode_bytes(pending, charset)[0] if pending else "")
    found.append(raw[at:])
    return one_line("".join(found))


def one_line(text: str) -> str:
    """Without line breaks, control characters and marks that turn the direction of writing."""
    shown = "".join(" " if letter.isspace() else letter for letter in text)
    kept = (letter for letter in shown if letter.isprintable() and letter not in _TURNS)
    return re.sub(r" {2,}", " ", "".join(kept)).strip()


def addresses_of(value: object) -> list[tuple[str, str]]:
    """(address in small letters, name) of each that a header names, at most RECIPIENTS_MAX."""
    raw = str(value)[:VALUE_MAX_CHARS]
    found = []
    for part in _split(raw)[:RECIPIENTS_MAX]:
        angle = _ANGLE.findall(part)
        bare = _BARE.findall(part) if not angle else []
        address = (angle or bare or [""])[-1].strip().lower()
        if not address:
            continue
        name = text_of(part.split("<")[0]).strip(" \"'") if angle else ""
        found.append((address[:254], name[:NAME_MAX_CHARS]))
    return found


def identifiers_of(value: object) -> list[str]:
    """Message identifiers, without their brackets, the last first."""
    return list(dict.fromkeys(reversed(_ID.findall(str(value)[-VALUE_MAX_CHARS:]))))[:REFERENCES_MAX]


def facts_of(
    message: Message,
    arrived: Arrived,
    *,
    trusted: Collection[str] = (),
    ours: bool = False,
    report_of: Sequence[str] = (),
) -> Facts:
    """What the headers say. `trusted`: names of hosts of ours whose Authentication-Results count."""
    headers = _Headers(message)
    senders = addresses_of(headers.first("from")) or addresses_of(headers.first("sender"))
    answers = identifiers_of(headers.first("in-reply-to"))
    references = dict.fromkeys((*answers, *identifiers_of(headers.first("references"))))
    named = [one for name in ("to", "cc", "delivered-to", "x-original-to") for one in headers.all(name)]
    recipients = [address for value in named for address, _ in addresses_of(value)]
    results, by = _authentication(headers, trusted)
    identifiers = identifiers_of(headers.first("message-id"))
    return Facts(
        message_id=identifiers[-1] if identifiers else "",
        references=tuple(references)[:REFERENCES_MAX],
        sender=senders[0][0] if senders else "",
        sender_name=senders[0][1] if senders else "",
        envelope_sender=_envelope_sender(arrived),
        reply_to=next((one[0] for one in addresses_of(headers.first("reply-to"))), ""),
        recipients=tuple(dict.fromkeys((*(one.lower() for one in arrived.recipients), *recipients)))[
            :RECIPIENTS_MAX
        ],
        subject=text_of(headers.first("subject"))[:SUBJECT_MAX_CHARS],
        sent_at_ms=_date_ms(headers.first("date")),
        auto_submitted=headers.word("auto-submitted"),
        precedence=headers.word("precedence"),
        suppress=one_line(headers.first("x-auto-response-suppress"))[:100],
        answers_by_itself=next((name for name in _BY_THEMSELVES if headers.first(name)), ""),
        list_id=text_of(headers.first("list-id") or headers.first("list-unsubscribe"))[:200],
        content_type=message.get_content_type(),
        method=_method(message),
        hops=len(headers.all("received")),
        ours=ours,
        report_of=tuple(report_of),
        authentication=results,
        authenticated_by=by,
    )


def _envelope_sender(arrived: Arrived) -> str:
    """`<>` for one that is empty; "" when it is not known."""
    bare = arrived.sender.strip().strip("<>").lower()
    return bare or ("<>" if arrived.by == "smtp" or arrived.sender.strip() == "<>" else "")


class _Headers:
    """By name, at most HEADERS_MAX of them, as they were written."""

    def __init__(self, message: Message) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in islice(message.raw_items(), HEADERS_MAX):
            self._all.setdefault(name.lower(), []).append(str(value)[:VALUE_MAX_CHARS])

    def all(self, name: str) -> list[str]:
        return self._all.get(name, [])

    def first(self, name: str) -> str:
        return self._all.get(name, [""])[0]

    def word(self, name: str) -> str:
        """The value without its parameters, in small letters."""
        return one_line(self.first(name)).partition(";")[0].strip().lower()[:60]


def _split(raw: str) -> list[str]:
    """At commas and semicolons outside quotes."""
    parts, start, quoted = [], 0, False
    for at, letter in enumerate(raw):
        if letter == '"' and raw[at - 1 : at] != "\\":
            quoted = not quoted
        elif letter in ",;" and not quoted:
            parts.append(raw[start:at])
            start = at + 1
    return [*parts, raw[start:]]


def _word_bytes(encoding: str, text: str) -> bytes | None:
    try:
        if encoding == "q":
            return quopri.decodestring(text.replace("_", " ").encode("ascii", "replace"), header=True)
        text = re.sub(r"[^A-Za-z0-9+/]", "", text)
        if len(text) % 4 == 1:
            text = text[:-1]
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


def _date_ms(value: str) -> int | None:
    try:
        at_ms = round(parsedate_to_datetime(value[:200]).timestamp() * 1000)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return at_ms if 0 <= at_ms < 1 << 43 else None


def _method(message: Message) -> str:
    """Of an invitation: of the message itself or of one of its first parts."""
    parts = [message, *(message.get_payload() if message.is_multipart() else [])][:10]
    for part in parts:
        if isinstance(part, Message):
            inner = part.get_payload() if part.get_content_type() == "multipart/alternative" else []
            for one in [part, *(inner if isinstance(inner, list) else [])][:10]:
                if isinstance(one, Message) and one.get_content_type() == "text/calendar":
                    return str(one.get_param("method") or "PUBLISH").upper()[:20]
    return ""


def _authentication(headers: _Headers, trusted: Collection[str]) -> tuple[dict[str, str], str]:
    """What the host of ours that wrote last found: method → result, and the host's name. What stands below
    may have been there when the message came."""
    hosts = {one.lower() for one in trusted}
    for value in headers.all("authentication-results")[:1]:
        bare = _COMMENT.sub(" ", one_line(value))
        host = bare.partition(";")[0].split(" ")[0].strip().lower()
        if host in hosts:
            found: dict[str, str] = {}
            for method, result in _RESULT.findall(bare.partition(";")[2]):
                best = found.get(method.lower())
                if best is None or result.lower() == "pass":
                    found[method.lower()] = result.lower()
            return found, host
    return {}, ""
