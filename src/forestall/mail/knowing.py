"""What the database knows around a message that came in: threads, senders, addresses. For the installation's
own work: it reads across clients, and hands a decision nothing but identifiers."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from forestall.estate.models import Contact, Person
from forestall.estate.tenancy import system_scope
from forestall.estate.values import Role
from forestall.mail.accepting import plain_of
from forestall.mail.decide import Known, ThreadNow, Who, decide_address
from forestall.mail.models import Address, Message, Thread
from forestall.mail.tokens import thread_of_token, token_of_subject, tokens_of_addresses
from forestall.mail.values import Arrived, Facts, State

SCOPE = system_scope("mail")
SAME_WITHIN = timedelta(days=7)
HOUR = timedelta(hours=1)
CONTACTS_MAX = 20


def known_around(facts: Facts, arrived: Arrived, said: str, *, key: bytes, now: datetime) -> Known:
    """Everything that a decision about this message needs."""
    ours = _address_of(facts, arrived)
    return Known(
        by_token=_threads_of_tokens(facts, key),
        by_reference=_threads_of(facts.references),
        contacts=_contacts_of(facts.sender),
        staff=_staff_of(facts.sender),
        client=(ours.client_id or "") if ours else "",
        plan=ours.plan if ours else "",
        last_hour=_last_hour(facts.sender, now),
        bounced=_bounced(facts),
        same=_is_same(facts, said, now),
    )


def _address_of(facts: Facts, arrived: Arrived) -> Address | None:
    """The address of ours at which it came in. What the envelope says counts before what the headers say."""
    wanted = [plain_of(one) for one in (*arrived.recipients, *facts.recipients)]
    rows = {row.address: row for row in Address.objects.of(SCOPE).filter(address__in=wanted)}
    return rows.get(decide_address(wanted, list(rows)))


def _threads_of_tokens(facts: Facts, key: bytes) -> tuple[ThreadNow, ...]:
    tokens = [*tokens_of_addresses(facts.recipients), token_of_subject(facts.subject)]
    proved = [thread for token in tokens if token and (thread := thread_of_token(key, token))]
    rows = {row.pk: row for row in Thread.objects.of(SCOPE).filter(pk__in=proved)}
    return tuple(thread_now(rows[one]) for one in proved if one in rows)


def _threads_of(references: Iterable[str]) -> tuple[ThreadNow, ...]:
    wanted = [one[:255] for one in references]
    rows = Message.objects.of(SCOPE).filter(message_id__in=wanted).exclude(thread=None)
    by_id = {row.message_id: row.thread for row in rows.select_related("thread")[:CONTACTS_MAX]}
    found = dict.fromkeys(thread_now(thread) for one in wanted if (thread := by_id.get(one)) is not None)
    return tuple(found)


def thread_now(thread: Thread) -> ThreadNow:
    """The value of a thread."""
    return ThreadNow(thread.pk, thread.client_id, thread.number)


def _contacts_of(address: str) -> tuple[Who, ...]:
    if "@" not in address:
        return ()
    rows = Contact.objects.of(SCOPE).filter(email__iexact=address, client__archived_at=None)
    return tuple(Who(row.pk, row.client_id, row.name) for row in rows.order_by("pk")[:CONTACTS_MAX])


def _staff_of(address: str) -> str:
    staff = Person.objects.filter(email__iexact=address, is_active=True).exclude(role=Role.CLIENT_CONTACT)
    row = staff.first() if "@" in address else None
    return row.name if row else ""


def _last_hour(sender: str, now: datetime) -> int:
    if not sender:
        return 0
    rows = Message.objects.of(SCOPE).filter(sender=sender, outgoing=False, at__gt=now - HOUR)
    return rows.exclude(state__in=(State.REPEATED, State.REPORT)).count()


def _bounced(facts: Facts) -> str:
    rows = Message.objects.of(SCOPE).filter(
        outgoing=True, message_id__in=[one[:255] for one in (*facts.report_of, *facts.references)]
    )
    row = rows.order_by("-at").first()
    return row.pk if row else ""


def _is_same(facts: Facts, said: str, now: datetime) -> bool:
    """Whether it came before, by another way: the same identifier, sender and words."""
    if not facts.message_id:
        return False
    rows = Message.objects.of(SCOPE).filter(
        message_id=facts.message_id[:255], sender=facts.sender[:254], outgoing=False, said=said,
        at__gt=now - SAME_WITHIN,
    )  # fmt: skip
    return rows.exists()
