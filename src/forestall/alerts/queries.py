"""Reads of alerts for people: the overview, open alerts, the page of one alert, the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet

from forestall.alerts.models import Alert, Delivery, Evidence, Window
from forestall.estate.tenancy import Scope
from forestall.findings import queries as findings_queries
from forestall.findings.gate import seen
from forestall.findings.models import Finding
from forestall.journal.models import Entry
from forestall.journal.queries import last_entries
from forestall.kernel.cursors import Page, cut, read_cursor

PAGE_MOST = 200
MEMBERS_MOST = 500
LONGEST_MONTH = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One alert with its findings (open and worst first), evidence, ledger and journal (newest first)."""

    alert: Alert
    findings: list[Finding]
    evidence: list[Evidence]
    deliveries: list[Delivery]
    explains: list[Alert]
    journal: list[Entry]


@dataclass(frozen=True, slots=True)
class Overview:
    """The numbers of the first page. `findings`: open findings by state; `alerts`: open alerts by state;
    `undelivered`: messages that still wait or were given up in the last day; `prevented`: findings of this
    month that drifted and ended before they went out of spec."""

    findings: dict[str, int]
    per_client: dict[str, dict[str, int]]
    alerts: dict[str, int]
    undelivered: int
    prevented: int


def of(scope: Scope) -> "QuerySet[Alert]":
    """All alerts that the scope sees, with client and asset."""
    return seen(Alert, scope).select_related("client", "asset")


def overview(scope: Scope, *, now: datetime) -> Overview:
    """The numbers of the first page."""
    counts = findings_queries.count_open(scope)
    alerts = seen(Alert, scope).filter(recovered_at=None, explained_by=None)
    since = _month_of(now)
    waiting = Q(state="due", attempts__gt=0) | Q(state="given_up", made_at__gte=now - timedelta(days=1))
    return Overview(
        findings=counts.total,
        per_client=counts.per_client,
        alerts=dict(alerts.values_list("state").annotate(count=Count("pk")).order_by()),
        undelivered=seen(Delivery, scope).filter(waiting).count(),
        prevented=findings_queries.count_prevented(scope, since=since, until=since + LONGEST_MONTH),
    )


def prevented(scope: Scope, *, now: datetime, most: int = MEMBERS_MOST) -> list[Finding]:
    """What was prevented this month: it drifted, and ended before it was out of spec. Newest first."""
    since = _month_of(now)
    return findings_queries.prevented(scope, since=since, until=since + LONGEST_MONTH, most=most)


def _month_of(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def list_open(
    scope: Scope,
    *,
    client: str = "",
    asset: str = "",
    states: Sequence[str] = (),
    with_explained: bool = False,
    after: str | None = None,
    most: int = 50,
) -> Page[Alert]:
    """Open alerts, the worst first and the oldest of these first; those that another alert explains are left
    out unless asked for. Raises Trouble for a wrong cursor."""
    rows = of(scope).filter(recovered_at=None)
    if not with_explained:
        rows = rows.filter(explained_by=None)
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    if states:
        rows = rows.filter(state__in=states)
    if after:
        concern, opened, key = read_cursor(after, tuple[int, datetime, str])
        rows = rows.filter(
            Q(concern__lt=concern)
            | Q(concern=concern, opened_at__gt=opened)
            | Q(concern=concern, opened_at=opened, pk__gt=key)
        )
    most = max(1, min(most, PAGE_MOST))
    found = list(rows.order_by("-concern", "opened_at", "pk")[: most + 1])
    return cut(found, most, lambda row: (row.concern, row.opened_at, row.pk))


def list_recovered(scope: Scope, *, client: str = "", asset: str = "", most: int = 50) -> list[Alert]:
    """Alerts that are over, the last first; those that were folded into another are left out."""
    rows = of(scope).filter(recovered_at__isnull=False, state="recovered")
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    return list(rows.order_by("-recovered_at", "-pk")[: min(most, PAGE_MOST)])


def get(scope: Scope, alert: str) -> Alert:
    """One alert. Raises Alert.DoesNotExist for what the scope does not see."""
    return of(scope).get(pk=alert)


def page_of(scope: Scope, alert: str) -> AlertPage:
    """Everything for the page of an alert. Raises Alert.DoesNotExist."""
    row = get(scope, alert)
    members = seen(Finding, scope).filter(alerts=row).select_related("asset")
    findings = list(members.order_by("ended_at", "-concern", "opened_at", "pk")[:MEMBERS_MOST])
    findings.sort(key=lambda finding: finding.ended_at is not None)
    return AlertPage(
        alert=row,
        findings=findings,
        evidence=evidence_of(scope, findings),
        deliveries=list_deliveries(scope, alert=row.pk),
        explains=list(of(scope).filter(explained_by=row).order_by("opened_at", "pk")[:PAGE_MOST]),
        journal=last_entries(most=100, clients=None if scope.everything else scope.clients, subject=row.pk),
    )


def evidence_of(scope: Scope, findings: Sequence[Finding]) -> list[Evidence]:
    """The sealed evidence of findings, in the order of sealing."""
    rows = seen(Evidence, scope).filter(finding__in=[finding.pk for finding in findings])
    return list(rows.select_related("finding", "asset").order_by("sealed_at", "pk")[:MEMBERS_MOST])


def get_evidence(scope: Scope, evidence: str) -> Evidence:
    """One piece of evidence. Raises Evidence.DoesNotExist for what the scope does not see."""
    return seen(Evidence, scope).select_related("finding", "asset", "client").get(pk=evidence)


def list_evidence(scope: Scope, *, asset: str = "", finding: str = "", most: int = 50) -> list[Evidence]:
    """Sealed evidence, the newest first."""
    rows = seen(Evidence, scope).select_related("finding", "asset", "client")
    if asset:
        rows = rows.filter(asset=asset)
    if finding:
        rows = rows.filter(finding=finding)
    return list(rows.order_by("-sealed_at", "-pk")[: min(most, PAGE_MOST)])


def list_deliveries(
    scope: Scope, *, alert: str = "", state: str = "", client: str = "", most: int = 100
) -> list[Delivery]:
    """The ledger of who was told what through which channel, the newest first."""
    rows = seen(Delivery, scope).select_related("alert", "channel", "client")
    if alert:
        rows = rows.filter(alert=alert)
    if state:
        rows = rows.filter(state=state)
    if client:
        rows = rows.filter(client=client)
    return list(rows.order_by("-made_at", "-pk")[: min(most, PAGE_MOST)])


def count_waiting(scope: Scope) -> int:
    """How many messages wait to be sent."""
    return seen(Delivery, scope).filter(state="due").count()


def list_windows(scope: Scope, *, now: datetime, client: str = "", over: bool = False) -> list[Window]:
    """Maintenance windows that are on or planned, the next end first; with `over` those that are past."""
    rows = seen(Window, scope).select_related("client", "site", "asset")
    if client:
        rows = rows.filter(client=client)
    rows = rows.filter(ends_at__lte=now) if over else rows.filter(ends_at__gt=now)
    return list(rows.order_by("-ends_at" if over else "ends_at", "pk")[:PAGE_MOST])
