"""Fetches mailboxes over IMAP: each message into the spool, and only then marked or moved.

Where we are is UIDVALIDITY and the last UID (RFC 9051, 2.3.1.1). When the server says that its UIDs are new,
everything is looked at again; what is here already is recognised by its bytes.
"""

import imaplib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

from forestall.estate.vault import open_sealed
from forestall.intake.values import QueueFull
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.mail.knowing import SCOPE
from forestall.mail.models import Mailbox
from forestall.mail.spool import Spool

TIMEOUT_S = 30.0
AT_ONCE_MOST = 100  # of a mailbox at one look; the rest at the next
MESSAGE_MAX_BYTES = 50_000_000
HEAD_BYTES = 64 << 10

_RETURN = re.compile(rb"(?im)^return-path:[ \t]*(<[^<>\s]{0,250}>)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,12})")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one look at a mailbox brought. `trouble`: why there was not more, "" when all is well."""

    count: int
    trouble: str = ""


def fetch_mailbox(row: Mailbox, spool: Spool, *, now: Callable[[], datetime]) -> Fetched:
    """Take in what is new, and write down how far we are. What goes wrong is said, on the row too."""
    count, trouble = 0, ""
    try:
        with _open(row) as box:
            for uid in _new_uids(box, row):
                said = _take(box, row, uid, spool, now)
                trouble = said or trouble
                count += not said
    except (ImapToolsError, imaplib.IMAP4.error, OSError, ssl.SSLError, Trouble) as error:
        trouble = f"the mailbox cannot be read: {error}"
    except QueueFull as error:
        trouble = f"no room for more: {error}"
    Mailbox.objects.of(SCOPE).filter(pk=row.pk).update(looked_at=now(), trouble=trouble[:500])
    return Fetched(count, trouble[:500])


def _open(row: Mailbox) -> BaseMailBox:
    password = open_sealed(row.client_id, f"mailbox:{row.pk}", row.sealed)
    box: BaseMailBox
    if row.security == "tls":
        box = MailBox(row.host, row.port, timeout=TIMEOUT_S, ssl_context=ssl.create_default_context())
    elif row.security == "starttls":
        box = MailBoxStartTls(row.host, row.port, timeout=TIMEOUT_S, ssl_context=ssl.create_default_context())
    else:
        box = MailBoxUnencrypted(row.host, row.port, timeout=TIMEOUT_S)
    return box.login(row.user, password, initial_folder=None)


def _new_uids(box: BaseMailBox, row: Mailbox) -> list[int]:
    """Behind the last one, the oldest first."""
    validity = int(box.folder.status(row.folder, ["UIDVALIDITY"])["UIDVALIDITY"])
    box.folder.set(row.folder)
    if validity != row.uid_validity:
        row.uid_validity, row.last_uid = validity, 0
        row.save(update_fields=["uid_validity", "last_uid"])
    found = sorted(int(uid) for uid in box.uids(f"UID {row.last_uid + 1}:*"))
    return [uid for uid in found if uid > row.last_uid][:AT_ONCE_MOST]


def _take(box: BaseMailBox, row: Mailbox, uid: int, spool: Spool, now: Callable[[], datetime]) -> str:
    """Make a message durable, then mark it; why it was left where it is, "" when it was not."""
    size = _SIZE.search(_first(box, uid, "(RFC822.SIZE)")[0])
    if size and int(size[1]) > MESSAGE_MAX_BYTES:
        _passed(row, uid)
        return f"message {uid} has {int(size[1]) >> 20} MB and stays there: read it in the mailbox"
    raw = _first(box, uid, "(BODY.PEEK[])")[1]
    if raw:
        back = _RETURN.search(raw[:HEAD_BYTES])
        spool.keep(
            raw, received_at_ms=to_ms(now()), peer=row.host, helo="", recipients=(row.address,), by="imap",
            sender=back[1].decode("ascii", "replace") if back else "",
        )  # fmt: skip
    _passed(row, uid)
    if row.done_folder:
        if not box.folder.exists(row.done_folder):
            box.folder.create(row.done_folder)
        box.move([str(uid)], row.done_folder)
    else:
        box.flag([str(uid)], ["\\Seen"], True)
    return ""


def _passed(row: Mailbox, uid: int) -> None:
    row.last_uid = uid
    row.save(update_fields=["last_uid"])


def _first(box: BaseMailBox, uid: int, what: str) -> tuple[bytes, bytes]:
    """What the server says of one message: its line and its literal; empty when it is gone."""
    _, data = box.client.uid("FETCH", str(uid), what)
    for one in data:
        if isinstance(one, tuple):
            return bytes(one[0]), bytes(one[1])
        if isinstance(one, bytes):
            return one, b""
    return b"", b""
