"""What opening a ticket shows without a click: its assets then and now, the same trouble in the past and what
ended it, other tickets of the same cause."""

from dataclasses import dataclass

from django.db.models import Q

from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.findings.models import Finding
from forestall.tickets.models import Entry, Ticket

ASSETS_MOST = 20
FINDINGS_MOST = 60
PAST_MOST = 8
SAID_MAX_CHARS = 400


@dataclass(frozen=True, slots=True)
class ThenNow:
    """An asset: what was wrong when the ticket was opened, and what is wrong now."""

    asset: Asset
    then: list[Finding]
    now: list[Finding]


@dataclass(frozen=True, slots=True)
class Past:
    """A ticket of the same fingerprint that is over, and the last words of a person on it."""

    ticket: Ticket
    fixed_by: str


@dataclass(frozen=True, slots=True)
class FirstLook:
    """The first look at a ticket."""

    assets: list[ThenNow]
    past: list[Past]
    same_cause: list[Ticket]


def first_look(scope: Scope, ticket: Ticket) -> FirstLook:
    """The first look, as the scope sees it."""
    return FirstLook(_assets(scope, ticket), _past(scope, ticket), _same_cause(scope, ticket))


def _assets(scope: Scope, ticket: Ticket) -> list[ThenNow]:
    rows = list(seen(Asset, scope).filter(linked_tickets=ticket).order_by("name")[:ASSETS_MOST])
    if ticket.asset is not None:
        rows = [ticket.asset, *(row for row in rows if row != ticket.asset)]
    findings = (
        seen(Finding, scope)
        .filter(Q(ended_at=None) | Q(ended_at__gt=ticket.opened_at), asset__in=rows)
        .order_by("-concern", "began_at")[:FINDINGS_MOST]
    )
    return [
        ThenNow(
            row,
            [one for one in findings if one.asset_id == row.pk and one.began_at <= ticket.opened_at],
            [one for one in findings if one.asset_id == row.pk and one.ended_at is None],
        )
        for row in rows
    ]


def _past(scope: Scope, ticket: Ticket) -> list[Past]:
    if not ticket.fingerprint:
        return []
    rows = (
        seen(Ticket, scope)
        .filter(fingerprint=ticket.fingerprint, opened_at__lte=ticket.opened_at)
        .exclude(pk=ticket.pk)
        .select_related("client", "asset")
        .order_by("-opened_at")[:PAST_MOST]
    )
    return [Past(row, _fixed_by(scope, row)) for row in rows]


def _fixed_by(scope: Scope, ticket: Ticket) -> str:
    said = (
        seen(Entry, scope)
        .filter(Q(kind__in=("note", "reply")) | Q(kind="status", text__contains="\n"), ticket=ticket)
        .exclude(actor__startswith="forestall:")
        .order_by("-at", "-pk")
        .first()
    )
    return said.text[:SAID_MAX_CHARS] if said else ""


def _same_cause(scope: Scope, ticket: Ticket) -> list[Ticket]:
    same = (
        Q(merged_into=ticket) | Q(split_from=ticket) | Q(pk__in=[ticket.merged_into_id, ticket.split_from_id])
    )
    if ticket.cause_key:
        same |= Q(cause_key=ticket.cause_key, client=ticket.client_id)
    rows = seen(Ticket, scope).filter(same).exclude(pk=ticket.pk)
    return list(rows.select_related("client").order_by("-number")[:PAST_MOST])
