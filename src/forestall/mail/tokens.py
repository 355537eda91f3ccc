"""Signed tokens: what proves that somebody had a mail of ours in hand. Pure: the key is handed in."""

import base64
import hashlib
import hmac
import re

from forestall.kernel.ids import LENGTH

SIGNATURE_BYTES = 10
SIGNATURE_CHARS = 16
_TOKEN = re.compile(rf"[0-9a-hjkmnp-tv-z]{{{LENGTH}}}[a-z2-7]{{{SIGNATURE_CHARS}}}")
_IN_SUBJECT = re.compile(rf"\[#\d{{1,9}}-([0-9a-z]{{{LENGTH + SIGNATURE_CHARS}}})\]", re.I)
SEEN_MAX = 10


def token_of(key: bytes, thread: str) -> str:
    """The token of a thread: 29 small letters and digits, fit for an address."""
    return thread.lower() + _signature(key, "thread", thread)


def thread_of_token(key: bytes, token: str) -> str:
    """The thread that a token proves, "" when it proves none."""
    token = token.lower()
    if not _TOKEN.fullmatch(token):
        return ""
    thread = token[:LENGTH].upper()
    return thread if hmac.compare_digest(token, token_of(key, thread)) else ""


def tokens_of_addresses(addresses: tuple[str, ...]) -> list[str]:
    """What stands behind the `+` in addresses."""
    found = [one.rpartition("@")[0].partition("+")[2] for one in addresses]
    return [one for one in found if one][:SEEN_MAX]


def token_of_subject(subject: str) -> str:
    """The token in a subject, "" when there is none."""
    match = _IN_SUBJECT.search(subject)
    return match[1].lower() if match else ""


def subject_with(subject: str, *, number: int, token: str) -> str:
    """A subject that carries its ticket's number and token, once."""
    bare = without_token(subject)
    return f"{bare} [#{number}-{token}]"


def without_token(subject: str) -> str:
    """A subject as people read it."""
    return re.sub(r" {2,}", " ", _IN_SUBJECT.sub("", subject)).strip()


def mark_of(key: bytes, message_id: str) -> str:
    """What a message of ours carries, so that we know it when it comes back."""
    return _signature(key, "message", message_id)


def is_mark(key: bytes, message_id: str, mark: str) -> bool:
    """Whether we sent the message with this identifier."""
    return bool(message_id) and hmac.compare_digest(mark.encode(), mark_of(key, message_id).encode())


def _signature(key: bytes, what: str, text: str) -> str:
    digest = hmac.new(key, f"{what}\0{text}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:SIGNATURE_BYTES]).decode().lower()
