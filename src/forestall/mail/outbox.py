"""Mail that leaves: written as rows with what they answer, claimed, handed over, tried again, given up.

A row is made in the transaction of what it tells of, under a key of its own, so it is made once. It is sent
at least once: a crash while the server takes it repeats it under the same Message-ID.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, parseaddr

from django.db import transaction
from django.db.models import Q

from forestall.estate.checks import email_or_none
from forestall.estate.models import Provider
from forestall.estate.tenancy import Scope
from forestall.journal.actions import append
from forestall.kernel.config import Mail
from forestall.kernel.errors import Trouble
from forestall.mail.headers import MARK, one_line
from forestall.mail.knowing import SCOPE
from forestall.mail.models import Address, Message, Thread
from forestall.mail.sending import NotSent, hand_over
from forestall.mail.tokens import mark_of, subject_with, token_of, without_token
from forestall.mail.values import Kind, State

LEASE = timedelta(minutes=3)
BACKOFF_FIRST = timedelta(seconds=20)
BACKOFF_MOST = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=48)
AT_ONCE_MOST = 20
REFERENCES_MOST = 20
TEXT_MAX_CHARS = 100_000
ACTOR = "forestall:mail"

Send = Callable[[EmailMessage, str, list[str]], None]


def write(
    thread: Thread,
    *,
    key: str,
    to: Sequence[str],
    subject: str,
    text: str,
    now: datetime,
    entry: str = "",
    kind: Kind = Kind.PERSON,
) -> Message | None:
    """A mail on a thread, to be sent; None when this `key` was written before, or there is nobody to send to.
    `kind` MACHINE marks it as written by a machine."""
    to = [one for one in dict.fromkeys(to) if "@" in one]
    if not to or Message.objects.of(SCOPE).filter(key=f"out:{key}").exists():
        return None
    row = Message(
        client_id=thread.client_id, thread=thread, entry=entry, outgoing=True, state=State.DUE, kind=kind,
        key=f"out:{key}", recipients=to, subject=without_token(subject)[:300], said=text[:TEXT_MAX_CHARS],
        text=text[:TEXT_MAX_CHARS], at=now, due_at=now,
    )  # fmt: skip
    row.sender = sender_of(thread.client_id)
    row.message_id = f"{row.pk.lower()}.{hashlib.sha256(key.encode()).hexdigest()[:16]}@{_domain(row.sender)}"
    row.save()
    return row


def sender_of(client: str) -> str:
    """From which address of ours a client gets mail: its own, else that of all; "" when there is none."""
    rows = Address.objects.of(SCOPE).filter(Q(client=client) | Q(client=None), plan="").order_by("made_at")
    found = sorted(rows[:20], key=lambda row: row.client_id != client)
    return found[0].address if found else ""


def compose(row: Message, *, key: bytes, config: Mail) -> tuple[EmailMessage, str]:
    """The mail of a row, and its envelope's sender, to which bounces come."""
    assert row.thread is not None
    token = token_of(key, row.thread.pk)
    provider = Provider.objects.first()
    address = row.sender or parseaddr(config.sender)[1]
    back = _with_token(address, token) if row.sender else address
    mail = EmailMessage()
    mail["From"] = formataddr((one_line(provider.name) if provider else "Support", address))
    mail["To"] = ", ".join(row.recipients)
    if row.sender:
        mail["Reply-To"] = back
    mail["Subject"] = one_line(subject_with(row.subject, number=row.thread.number, token=token))
    mail["Date"] = format_datetime(row.at)
    mail["Message-ID"] = f"<{row.message_id}>"
    before = list(
        Message.objects.of(SCOPE)
        .filter(thread=row.thread, at__lte=row.at)
        .exclude(Q(pk=row.pk) | Q(message_id=""))
        .order_by("-at", "-pk")
        .values_list("message_id", "outgoing")[:REFERENCES_MOST]
    )
    answered = next((one for one, outgoing in before if not outgoing), before[0][0] if before else "")
    if answered:
        mail["In-Reply-To"] = f"<{answered}>"
        mail["References"] = " ".join(f"<{one}>" for one, _ in reversed(before))
    if row.kind == Kind.MACHINE:
        mail["Auto-Submitted"] = "auto-replied"
        mail["X-Auto-Response-Suppress"] = "All"
    mail[MARK] = mark_of(key, row.message_id)
    mail.set_content(row.text)
    return mail, back


def send_due(*, now: datetime, key: bytes, config: Mail, send: Send | None = None) -> list[Message]:
    """Send what is due, AT_ONCE_MOST messages; those that were given up are answered, so that somebody is
    told. `send` is how a server is reached; None: by SMTP."""
    given_up = []
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    due = Message.objects.of(SCOPE).filter(free, state=State.DUE, due_at__lte=now)
    for row in due.select_related("thread").order_by("due_at")[:AT_ONCE_MOST]:
        mine = Message.objects.of(SCOPE).filter(free, pk=row.pk, state=State.DUE)
        if not mine.update(leased_until=now + LEASE, attempts=row.attempts + 1):
            continue
        row.attempts += 1
        try:
            mail, back = compose(row, key=key, config=config)
            if send is None:
                hand_over(config, mail, sender=back, to=list(row.recipients))
            else:
                send(mail, back, list(row.recipients))
        except NotSent as error:
            if _failed(row, error, now):
                given_up.append(row)
            continue
        Message.objects.of(SCOPE).filter(pk=row.pk).update(state=State.SENT, leased_until=None, reason="")
        append("mail.sent", client=row.client_id or "", subject=row.pk, actor=ACTOR, at=now,
               body={"entry": row.entry, "attempts": row.attempts})  # fmt: skip
    return given_up


def send_again(scope: Scope, message: str, *, to: str = "", now: datetime) -> Message:
    """Send a message of ours once more, or at once; `to`: to another address than before. Raises Trouble,
    DoesNotExist for what the scope does not see."""
    with transaction.atomic():
        row = Message.objects.of(scope).select_for_update().get(pk=message)
        if not row.outgoing or row.state not in (State.DUE, State.GIVEN_UP, State.BOUNCED):
            raise Trouble("this message is not one that did not arrive", "Answer on its ticket.")
        wanted = email_or_none(to) if to.strip() else ""
        if wanted and [wanted] != row.recipients:
            row.recipients, row.attempts = [wanted], 0
        row.state, row.due_at, row.at, row.reason = State.DUE, now, now, ""
        row.save(update_fields=["recipients", "attempts", "state", "due_at", "at", "reason"])
        append("mail.sent_again", client=row.client_id or "", subject=row.pk, actor=scope.actor, at=now,
               body={"attempts": row.attempts})  # fmt: skip
    return row


def _failed(row: Message, error: NotSent, now: datetime) -> bool:
    """Whether it is given up."""
    row.reason = str(error)[:500]
    if error.permanent or now - row.at >= GIVE_UP_AFTER:
        row.state = State.GIVEN_UP
        append("mail.given_up", client=row.client_id or "", subject=row.pk, actor=ACTOR, at=now,
               body={"why": row.reason, "attempts": row.attempts})  # fmt: skip
    row.due_at = now + min(BACKOFF_FIRST * 2 ** min(row.attempts - 1, 12), BACKOFF_MOST)
    row.leased_until = None
    row.save(update_fields=["state", "reason", "due_at", "leased_until"])
    return row.state == State.GIVEN_UP


def _with_token(address: str, token: str) -> str:
    name, _, domain = address.rpartition("@")
    return f"{name}+{token}@{domain}"


def _domain(address: str) -> str:
    return address.rpartition("@")[2] or "forestall.invalid"
