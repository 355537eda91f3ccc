"""Reads of what happened before a ticket that nobody of ours accounts for, and which changes are not ours."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Q

from forestall.alerts.models import Window
from forestall.configs.models import Change
from forestall.estate.logins import our_logins
from forestall.estate.models import Person
from forestall.estate.tenancy import Scope
from forestall.estate.values import Role
from forestall.findings.gate import seen
from forestall.journal.queries import last_entries
from forestall.tickets.models import Effort, Ticket
from forestall.tickets.ours import AROUND, Happened, Ours, Span, decide_account, say_before

WITHIN = timedelta(hours=24)
CHANGES_MOST = 50
ENTRIES_MOST = 200
ROWS_MOST = 500


@dataclass(frozen=True, slots=True)
class Before:
    """What happened before a ticket and is not ours, as a sentence and as changes (oldest first)."""

    text: str = ""
    changes: list[Change] = field(default_factory=list)


def self_repair_of(scope: Scope, ticket: Ticket) -> Before:
    """What was changed or restarted in the day before a ticket was opened, that nobody of ours accounts for:
    on its asset, or on any of the client's when it has none."""
    rows = seen(Change, scope).filter(
        client=ticket.client_id, at__lte=ticket.opened_at, at__gt=ticket.opened_at - WITHIN
    )
    if ticket.asset_id:
        rows = rows.filter(asset=ticket.asset_id)
    found = list(rows.select_related("asset").order_by("-at", "-pk")[:CHANGES_MOST])
    accounts = accounts_of(scope, found)
    theirs = [change for change in reversed(found) if not accounts[change.pk]]
    text = say_before([_happened(one) for one in theirs], _zone(ticket), many=ticket.asset_id is None)
    return Before(text, theirs)


def accounts_of(scope: Scope, changes: Sequence[Change]) -> dict[str, str]:
    """By change, which of us accounts for it in words; "" for one that is not ours. `changes` with assets."""
    ours = {client: _ours(scope, client, rows) for client, rows in _by_client(changes).items()}
    logins = our_logins(scope, ours)
    return {
        change.pk: decide_account(
            _happened(change),
            Ours(
                logins.get(change.client_id, frozenset()),
                _windows_for(change, ours[change.client_id][0]),
                ours[change.client_id][1],
            ),
        )
        for change in changes
    }


def _by_client(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.client_id].append(change)
    return found


def _happened(change: Change) -> Happened:
    return Happened(
        id=change.pk, asset=change.asset_id, name=change.asset.name, kind=change.kind,
        title=change.title or change.kind, after_at=change.after_at, at=change.at,
        who=tuple(map(str, change.signed_in)), named=tuple(map(str, change.named)),
    )  # fmt: skip


def _ours(scope: Scope, client: str, changes: list[Change]) -> tuple[list[Window], list[Span]]:
    """Windows, and what we did, around changes of a client."""
    begins_at = min(change.after_at for change in changes) - AROUND
    ends_at = max(change.at for change in changes) + AROUND
    windows = seen(Window, scope).filter(client=client, starts_at__lte=ends_at, ends_at__gte=begins_at)
    effort = (
        seen(Effort, scope)
        .filter(Q(ended_at=None) | Q(ended_at__gte=begins_at), client=client, started_at__lte=ends_at)
        .select_related("person", "ticket")
    )
    work = [
        Span(
            one.started_at,
            one.ended_at or ends_at,
            f"{one.person.name} was working on ticket #{one.ticket.number}",
            one.ticket.asset_id or "",
        )
        for one in effort[:ROWS_MOST]
    ]
    assets = {change.asset_id for change in changes}
    work += _actions(client, assets, begins_at=begins_at, ends_at=ends_at)
    return list(windows[:ROWS_MOST]), work


def _windows_for(change: Change, windows: list[Window]) -> list[Span]:
    return [
        Span(one.starts_at, one.ends_at, one.title)
        for one in windows
        if one.asset_id in {None, change.asset_id} and one.site_id in {None, change.asset.site_id}
    ]


def _actions(client: str, assets: Collection[str], *, begins_at: datetime, ends_at: datetime) -> list[Span]:
    """What people of ours did about these assets in the console, as the journal has it."""
    staff = dict(Person.objects.exclude(role=Role.CLIENT_CONTACT).values_list("email", "name"))
    return [
        Span(entry.at, entry.at, f"{staff[entry.actor]} was working on it here ({entry.kind})", entry.subject)
        for asset in assets
        for entry in last_entries(most=ENTRIES_MOST, clients={client}, subject=asset)
        if entry.actor in staff and begins_at <= entry.at <= ends_at
    ]


def _zone(ticket: Ticket) -> ZoneInfo:
    try:
        return ZoneInfo(ticket.client.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
