"""Fetches mailboxes over IMAP: each message into the spool, and only then marked or moved.

Where we are is UIDVALIDITY and the last UID (RFC 9051, 2.3.1.1). When the server says that its UIDs are new,
everything is looked at again; what is here already is recognised by its bytes.
"""

import imaplib
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import (
    ImapToolsError,
    MailboxFetchError,
    MailboxFolderSelectError,
    MailboxFolderStatusError,
    MailboxLoginError,
    UnexpectedCommandStatusError,
)

from forestall.estate.vault import open_sealed
from forestall.intake.values import QueueFull
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.mail.headers import one_line
from forestall.mail.knowing import SCOPE
from forestall.mail.models import Mailbox
from forestall.mail.spool import Spool

TIMEOUT_S = 30.0
TRIAL_TIMEOUT_S = 8.0
AT_ONCE_MOST = 100  # of a mailbox at one look; the rest at the next
MESSAGE_MAX_BYTES = 50_000_000
HEAD_BYTES = 64 << 10

_RETURN = re.compile(rb"(?im)^return-path:[ \t]*(<[^<>\s]{0,250}>)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,12})")
_BODY_HEADERS = re.compile(rb"(?im)^content-[a-z-]{1,40}:[^\n]*\n(?:[ \t][^\n]*\n)*")
PROBLEMS = (ImapToolsError, imaplib.IMAP4.error, OSError, Trouble)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one look at a mailbox brought. `trouble`: why there was not more, "" when all is well."""

    count: int
    trouble: str = ""


def fetch_mailbox(row: Mailbox, spool: Spool, *, now: Callable[[], datetime]) -> Fetched:
    """Take in what is new, and write down how far we are. What goes wrong is said, on the row too."""
    count, trouble = 0, ""
    try:
        with _open(row, timeout_s=TIMEOUT_S) as box:
            for uid in _new_uids(box, row):
                trouble = _take(box, row, uid, spool, now) or trouble
                count += 1
    except QueueFull as error:
        trouble = f"no room for more: {error}"
    except PROBLEMS as error:
        trouble = why_not(row, error)
    mine = Mailbox.objects.of(SCOPE).filter(pk=row.pk)
    if trouble:
        mine.update(looked_at=now(), trouble=trouble[:500])
    else:
        at = now()
        mine.update(looked_at=at, well_at=at, trouble="")
    return Fetched(count, trouble[:500])


def try_mailbox(row: Mailbox) -> str:
    """What is found in a mailbox now, in words; nothing is taken in, nothing marked. Raises Trouble."""
    try:
        with _open(row, timeout_s=TRIAL_TIMEOUT_S) as box:
            said = box.folder.status(row.folder, ["MESSAGES", "UNSEEN"])
    except PROBLEMS as error:
        raise Trouble(why_not(row, error), "Nothing was changed.") from error
    return (
        f"{row.folder} has {said.get('MESSAGES', 0)} messages, {said.get('UNSEEN', 0)} of them not read yet"
    )


def why_not(row: Mailbox, error: Exception) -> str:
    """Why a mailbox cannot be read, and what to do, for people."""
    where = f"{row.host} port {row.port}"
    if isinstance(error, Trouble):
        return f"the mailbox cannot be read: {error}. Enter its password again."
    if isinstance(error, MailboxLoginError):
        return f"{where} refuses the user {row.user} with this password ({_said(error)}). Check both."
    if isinstance(error, MailboxFolderStatusError | MailboxFolderSelectError):
        return f"{where} has no folder {row.folder} that can be opened ({_said(error)}). Check its name."
    if isinstance(error, socket.gaierror):
        return f"nobody knows the server {row.host}. Check its name."
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {where} is not trusted ({error.verify_message}). Name the server as it does."
        )
    if isinstance(error, ssl.SSLError):
        said = error.reason or error
        return f"{where} does not speak TLS ({said}). Try port 993 with tls, or 143 with starttls."
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where}. Check the port; 993 is the usual one with TLS."
    if isinstance(error, TimeoutError):
        return f"{where} does not answer in time. Check the port and the firewall between."
    return f"the mailbox at {where} cannot be read: {_said(error)}. It is tried again every minute."


def _said(error: Exception) -> str:
    """What a server answered, without the words of the library around it."""
    result = getattr(error, "command_result", None)
    for part in result[1] if isinstance(result, tuple) and len(result) > 1 else ():
        if isinstance(part, bytes):
            return one_line(part.decode("ascii", "replace"))[:200]
    return one_line(str(error))[:200] or type(error).__name__


def _open(row: Mailbox, *, timeout_s: float) -> BaseMailBox:
    password = open_sealed(row.client_id, f"mailbox:{row.pk}", row.sealed)
    box: BaseMailBox
    if row.security == "tls":
        box = MailBox(row.host, row.port, timeout=timeout_s, ssl_context=ssl.create_default_context())
    elif row.security == "starttls":
        box = MailBoxStartTls(row.host, row.port, timeout=timeout_s, ssl_context=ssl.create_default_context())
    else:
        box = MailBoxUnencrypted(row.host, row.port, timeout=timeout_s)
    try:
        return box.login(row.user, password, initial_folder=None)
    except BaseException:
        box.client.shutdown()
        raise


def _new_uids(box: BaseMailBox, row: Mailbox) -> list[int]:
    """Behind the last one, the oldest first."""
    validity = int(box.folder.status(row.folder, ["UIDVALIDITY"])["UIDVALIDITY"])
    box.folder.set(row.folder)
    if validity != row.uid_validity:
        row.uid_validity, row.last_uid = validity, 0
        Mailbox.objects.of(SCOPE).filter(pk=row.pk).update(uid_validity=validity, last_uid=0)
    found = sorted(int(uid) for uid in box.uids(f"UID {row.last_uid + 1}:*", charset=None))
    return [uid for uid in found if uid > row.last_uid][:AT_ONCE_MOST]


def _take(box: BaseMailBox, row: Mailbox, uid: int, spool: Spool, now: Callable[[], datetime]) -> str:
    """Make a message durable, then mark or move it; why it is not marked, "" when it is. One that somebody
    else took away is passed over."""
    size = _SIZE.search(_first(box, uid, "(RFC822.SIZE)")[0])
    large = int(size[1]) if size and int(size[1]) > MESSAGE_MAX_BYTES else 0
    if large:
        raw = _said_of_large(_first(box, uid, "(BODY.PEEK[HEADER])")[1], large, row)
    else:
        raw = _first(box, uid, "(BODY.PEEK[])")[1]
    if raw:
        back = _RETURN.search(raw[:HEAD_BYTES])
        spool.keep(
            raw, received_at_ms=to_ms(now()), peer=row.host, helo="", recipients=(row.address,), by="imap",
            sender=back[1].decode("ascii", "replace") if back else "",
        )  # fmt: skip
    said = _marked(box, row, uid) if raw and not large else ""
    _passed(row, uid)
    return said


def _marked(box: BaseMailBox, row: Mailbox, uid: int) -> str:
    """Move or mark a message that is durable here; why the server will not, "" when it did. A connection that
    ends in between is an error: the message is fetched again, and recognised."""
    try:
        if not row.done_folder:
            box.flag([str(uid)], ["\\Seen"], True)
            return ""
        if not box.folder.exists(row.done_folder):
            box.folder.create(row.done_folder)
        box.move([str(uid)], row.done_folder)
    except UnexpectedCommandStatusError as error:
        where = f"moved to {row.done_folder}" if row.done_folder else "marked as read"
        return f"messages are taken in, but cannot be {where}: {_said(error)}"
    return ""


def _said_of_large(head: bytes, size: int, row: Mailbox) -> bytes:
    """The head of a message that stays in its mailbox, with a word about that in place of its body."""
    if not head:
        return b""
    kept = _BODY_HEADERS.sub(b"", head.replace(b"\r\n", b"\n")).strip()
    said = f"This message has {size >> 20} MB, more than is taken in: read it in {row.folder} of {row.user}."
    return kept + b"\nContent-Type: text/plain; charset=utf-8\n\n" + said.encode()


def _passed(row: Mailbox, uid: int) -> None:
    """Written down at once, also when the mailbox was removed meanwhile."""
    row.last_uid = uid
    Mailbox.objects.of(SCOPE).filter(pk=row.pk).update(last_uid=uid)


def _first(box: BaseMailBox, uid: int, what: str) -> tuple[bytes, bytes]:
    """What the server says of one message: its line and its literal; empty when it is gone."""
    answer = box.client.uid("FETCH", str(uid), what)
    if answer[0] != "OK":  # not the same as gone: it stays where it is, and is asked for again
        raise MailboxFetchError(command_result=answer, expected="OK")
    data = answer[1]
    for one in data:
        if isinstance(one, tuple):
            return bytes(one[0]), bytes(one[1])
        if isinstance(one, bytes):
            return one, b""
    return b"", b""
