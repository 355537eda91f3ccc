"""Reads of tickets: the list, and everything that the page of one ticket shows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, QuerySet

from forestall.alerts.models import Alert, Evidence
from forestall.configs.models import Change
from forestall.estate.models import Asset, Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.findings.models import Finding
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.tickets.before import Before, self_repair_of
from forestall.tickets.models import Effort, Entry, Ticket
from forestall.tickets.search import found_by

PAGE_MOST = 200
TIMELINE_MOST = 500
CHANGES_MOST = 20
CHANGES_WITHIN = timedelta(days=7)
NUMBER_MOST_DIGITS = 10
FOUND_MOST = 500  # the newest that hold the words; of more than these a page shows none
ASSETS_MOST = 50


@dataclass(frozen=True, slots=True)
class TicketPage:
    """One ticket with its reason, its evidence, the changes before it, what nobody of ours accounts for
    (`before`), and its timeline (oldest first)."""

    ticket: Ticket
    alerts: list[Alert]
    findings: list[Finding]
    evidence: list[Evidence]
    changes: list[Change]
    before: Before
    timeline: list[Entry]
    effort: list[Effort]
    spent: timedelta


def of(scope: Scope) -> "QuerySet[Ticket]":
    """All tickets that the scope sees, with client, asset and assignee."""
    return seen(Ticket, scope).select_related("client", "asset", "assignee")


def list_tickets(
    scope: Scope,
    *,
    open_only: bool = True,
    client: str = "",
    asset: str = "",
    statuses: Collection[str] = (),
    assignee: str = "",
    unassigned: bool = False,
    queue: str = "",
    words: str = "",
    after: str | None = None,
    most: int = 50,
) -> Page[Ticket]:
    """Tickets, the most urgent first and of these the newest first. Raises Trouble for a wrong cursor.

    `words` all occur in what was said on the ticket or its title (search.py), or in its asset's name; the
    last may be the beginning of one. A number finds the ticket of that number.
    """
    rows = of(scope)
    if open_only:
        rows = rows.filter(closed_at=None)
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    if statuses:
        rows = rows.filter(status__in=statuses)
    if assignee:
        rows = rows.filter(assignee=assignee)
    if unassigned:
        rows = rows.filter(assignee=None)
    if queue:
        rows = rows.filter(queue=queue)
    rows = _worded(scope, rows, words)
    if after:
        priority, number_below = read_cursor(after, tuple[int, int])
        rows = rows.filter(Q(priority__gt=priority) | Q(priority=priority, number__lt=number_below))
    most = max(1, min(most, PAGE_MOST))
    found = list(rows.order_by("priority", "-number")[: most + 1])
    return cut(found, most, lambda row: (row.priority, row.number))


def _worded(scope: Scope, rows: "QuerySet[Ticket]", words: str) -> "QuerySet[Ticket]":
    asked = words.strip().lstrip("#")
    if not asked:
        return rows
    if asked.isascii() and asked.isdigit() and len(asked) < NUMBER_MOST_DIGITS:
        return rows.filter(Q(number=int(asked)) | Q(pk__in=found_by(scope, asked).values("ticket")))
    found = found_by(scope, asked).order_by("-pk").values_list("ticket", flat=True)[:FOUND_MOST]
    assets = seen(Asset, scope).filter(name__istartswith=asked).values_list("pk", flat=True)[:ASSETS_MOST]
    return rows.filter(Q(pk__in=list(found)) | Q(asset__in=list(assets)))


def get(scope: Scope, ticket: str) -> Ticket:
    """One ticket. Raises Ticket.DoesNotExist for what the scope does not see."""
    return of(scope).get(pk=ticket)


def page_of(scope: Scope, ticket: str, *, now: datetime) -> TicketPage:
    """Everything for the page of a ticket. Raises Ticket.DoesNotExist."""
    row = get(scope, ticket)
    alerts = list(seen(Alert, scope).filter(links__ticket=row).distinct().order_by("opened_at", "pk"))
    findings = list(
        seen(Finding, scope)
        .filter(alerts__in=alerts)
        .select_related("asset")
        .distinct()
        .order_by(F("ended_at").desc(nulls_first=True), "-concern", "pk")[:TIMELINE_MOST]
    )
    effort = list(
        seen(Effort, scope).filter(ticket=row).select_related("person").order_by("started_at", "pk")
    )
    return TicketPage(
        ticket=row,
        alerts=alerts,
        findings=findings,
        evidence=list(
            seen(Evidence, scope)
            .filter(finding__in=findings)
            .select_related("finding")
            .order_by("sealed_at", "pk")
        ),
        changes=changes_before(scope, row),
        before=self_repair_of(scope, row),
        timeline=list(seen(Entry, scope).filter(ticket=row).order_by("at", "pk")[:TIMELINE_MOST]),
        effort=effort,
        spent=sum(((one.ended_at or now) - one.started_at for one in effort), timedelta()),
    )


def changes_before(scope: Scope, ticket: Ticket) -> list[Change]:
    """What was changed on the ticket's asset in the days before it was opened, the last change first."""
    if ticket.asset_id is None:
        return []
    rows = seen(Change, scope).filter(
        asset=ticket.asset_id, at__lte=ticket.opened_at, at__gte=ticket.opened_at - CHANGES_WITHIN
    )
    return list(rows.order_by("-at", "-pk")[:CHANGES_MOST])


def of_asset(scope: Scope, asset: str, *, most: int = 50) -> list[Ticket]:
    """The tickets of an asset, the newest first."""
    return list(of(scope).filter(asset=asset).order_by("-number")[: min(most, PAGE_MOST)])


def count_open(scope: Scope) -> dict[str, int]:
    """How many tickets are open, by status."""
    rows = seen(Ticket, scope).filter(closed_at=None).values_list("status").annotate(count=Count("pk"))
    return dict(rows.order_by())


def running_timer(scope: Scope, person: Person) -> Effort | None:
    """The person's running timer, with its ticket."""
    return seen(Effort, scope).filter(person=person, ended_at=None).select_related("ticket").first()
