"""Reads of mail: what came and went, who waits to be known, addresses and mailboxes of ours."""

from collections.abc import Collection, Iterable

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower, StrIndex, Substr

from forestall.estate.models import Client, Contact
from forestall.estate.tenancy import Scope
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.mail.models import Address, Attachment, Mailbox, Message
from forestall.mail.values import State

PAGE_MOST = 200
FAILED = (State.GIVEN_UP, State.BOUNCED)
SUGGESTED_MOST = 3
CONTACTS_MAX = 2_000
# At these everybody has an address: they say nothing about whose a message is.
EVERYBODYS = frozenset(
    {
        "aol.com", "free.fr", "gmail.com", "gmx.at", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com",
        "icloud.com", "libero.it", "live.com", "mail.com", "me.com", "msn.com", "orange.fr", "outlook.com",
        "posteo.de", "proton.me", "protonmail.com", "t-online.de", "web.de", "yahoo.com",
    }
)  # fmt: skip
ADDRESSES_MOST = 5_000


def of(scope: Scope) -> "QuerySet[Message]":
    """All messages that the scope sees; those that are nobody's yet only who sees every client."""
    rows: QuerySet[Message] = Message.objects.of(scope)
    return rows.select_related("client", "contact", "thread")


def list_messages(
    scope: Scope,
    *,
    states: Collection[str] = (),
    client: str = "",
    outgoing: bool | None = None,
    after: str | None = None,
    most: int = 50,
) -> Page[Message]:
    """Messages, the newest first. Raises Trouble for a wrong cursor."""
    rows = of(scope).defer("text", "page")
    if outgoing is not None:
        rows = rows.filter(outgoing=outgoing)
    if states:
        rows = rows.filter(state__in=states)
    if client:
        rows = rows.filter(client=client)
    if after:
        rows = rows.filter(pk__lt=read_cursor(after, tuple[str])[0])
    most = max(1, min(most, PAGE_MOST))
    return cut(list(rows.order_by("-pk")[: most + 1]), most, lambda row: (row.pk,))


def count_strangers(scope: Scope) -> int:
    """How many messages wait for somebody to say whose they are."""
    return of(scope).filter(state="stranger").count()


def count_failed(scope: Scope) -> int:
    """How many answers of ours did not reach their recipient."""
    return Message.objects.of(scope).filter(outgoing=True, state__in=FAILED).count()


def suggested(scope: Scope, messages: Iterable[Message]) -> dict[str, list[Client]]:
    """Message → the clients whose it may be: that of the address it came to, then those that have contacts
    with addresses of its sender's domain."""
    messages = list(messages)
    domains = {row.sender.rpartition("@")[2] for row in messages} - EVERYBODYS - {""}
    by_domain: dict[str, dict[str, Client]] = {}
    if domains:
        rows = Contact.objects.of(scope).filter(client__archived_at=None)
        rows = rows.annotate(domain=Lower(Substr("email", StrIndex("email", Value("@")) + 1)))
        pairs = list(
            rows.filter(domain__in=domains).values_list("domain", "client").distinct()[:CONTACTS_MAX]
        )
        clients = Client.objects.all().of(scope).filter(pk__in={client for _, client in pairs})
        for client in clients.order_by("name"):
            for domain in {domain for domain, owner in pairs if owner == client.pk}:
                by_domain.setdefault(domain, {})[client.pk] = client
    found = {}
    for row in messages:
        first = {row.client_id: row.client} if row.client_id and row.client else {}
        both = first | by_domain.get(row.sender.rpartition("@")[2], {})
        found[row.pk] = list(both.values())[:SUGGESTED_MOST]
    return found


def by_entry(scope: Scope, topic: str) -> dict[str, Message]:
    """Line of a ticket → the message that it came by or went out as, with its attachments."""
    rows = of(scope).filter(thread__topic=topic).exclude(entry="").prefetch_related("attachments")
    return {row.entry: row for row in rows.order_by("at", "pk")[:PAGE_MOST]}


def get(scope: Scope, message: str) -> Message:
    """One message. Raises Message.DoesNotExist for what the scope does not see."""
    return of(scope).get(pk=message)


def get_attachment(scope: Scope, attachment: str) -> Attachment:
    """One attachment, with its message. Raises Attachment.DoesNotExist for what is not seen."""
    return Attachment.objects.select_related("message").get(
        pk=attachment, message__in=Message.objects.of(scope)
    )


def list_addresses(scope: Scope) -> list[Address]:
    """The addresses of ours that the scope sees."""
    return list(Address.objects.of(scope).select_related("client")[:ADDRESSES_MOST])


def our_addresses(scope: Scope) -> frozenset[str]:
    """All of them, as the door for mail compares them."""
    return frozenset(Address.objects.of(scope).values_list("address", flat=True)[:ADDRESSES_MOST])


def list_mailboxes(scope: Scope) -> list[Mailbox]:
    """The mailboxes that are fetched."""
    return list(Mailbox.objects.of(scope).select_related("client")[:PAGE_MOST])


def get_mailbox(scope: Scope, mailbox: str) -> Mailbox:
    """One of them. Raises Mailbox.DoesNotExist for what the scope does not see."""
    return Mailbox.objects.of(scope).select_related("client").get(pk=mailbox)
