"""Reads of mail: what came and went, who waits to be known, addresses and mailboxes of ours."""

from collections.abc import Collection

from django.db.models import QuerySet

from forestall.estate.tenancy import Scope
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.mail.models import Address, Attachment, Mailbox, Message, Thread

PAGE_MOST = 200
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
    after: str | None = None,
    most: int = 50,
) -> Page[Message]:
    """Messages, the newest first. Raises Trouble for a wrong cursor."""
    rows = of(scope).defer("text", "page")
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


def get(scope: Scope, message: str) -> Message:
    """One message. Raises Message.DoesNotExist for what the scope does not see."""
    return of(scope).get(pk=message)


def get_attachment(scope: Scope, attachment: str) -> Attachment:
    """One attachment, with its message. Raises Attachment.DoesNotExist for what is not seen."""
    return Attachment.objects.select_related("message").get(
        pk=attachment, message__in=Message.objects.of(scope)
    )


def of_topic(scope: Scope, topic: str) -> list[Message]:
    """The messages about one thing, oldest first, with attachments."""
    rows = of(scope).filter(thread__topic=topic).prefetch_related("attachments")
    return list(rows.order_by("at", "pk")[:PAGE_MOST])


def thread_of(scope: Scope, topic: str) -> Thread | None:
    """The conversation about one thing, if there is one."""
    return Thread.objects.of(scope).filter(topic=topic).first()


def list_addresses(scope: Scope) -> list[Address]:
    """The addresses of ours that the scope sees."""
    return list(Address.objects.of(scope).select_related("client")[:ADDRESSES_MOST])


def our_addresses(scope: Scope) -> frozenset[str]:
    """All of them, as the door for mail compares them."""
    return frozenset(Address.objects.of(scope).values_list("address", flat=True)[:ADDRESSES_MOST])


def list_mailboxes(scope: Scope) -> list[Mailbox]:
    """The mailboxes that are fetched."""
    return list(Mailbox.objects.of(scope).select_related("client")[:PAGE_MOST])
