"""Pages of keeping: holds against retention, and the deletion of a client, which only an owner orders."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_date

from forestall.alerts import queries as alerts
from forestall.estate.queries import find_client
from forestall.keeping import actions, queries
from forestall.kernel.errors import Trouble
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

AROUND = timedelta(days=1)  # around evidence: so much before its finding and after its seal


@needs("alerts:write")
def hold_client(request: Asked, client: str) -> HttpResponse:
    """Retention leaves a client's telemetry alone, until a day if one is given."""
    given = request.POST
    row = seen_or_404(lambda: find_client(request.scope, client))

    def make() -> None:
        text = given.get("until", "")
        try:
            day = parse_date(text) if text else None
        except ValueError:
            day = None
        if text and day is None:
            raise Trouble(f"{text!r} is no day", "Write it like 2027-03-31, or leave it empty.")
        now = timezone.now()
        until = None if day is None else now.replace(year=day.year, month=day.month, day=day.day)
        actions.hold(request.scope, client=row.pk, reason=given.get("reason", ""), until=until, now=now)

    attempt(request, make, "Held: retention leaves its logs and samples alone.")
    return redirect("client", row.pk)


@needs("alerts:write")
def hold_evidence(request: Asked, evidence: str) -> HttpResponse:
    """Retention leaves the telemetry around sealed evidence alone."""
    row = seen_or_404(lambda: alerts.get_evidence(request.scope, evidence))
    attempt(
        request,
        lambda: actions.hold(
            request.scope, client=row.client_id, asset=row.asset_id, reason=request.POST.get("reason", ""),
            from_at=row.finding.began_at - AROUND, to_at=row.sealed_at + AROUND, now=timezone.now(),
        ),
        "Held: what was observed around it stays.",
    )  # fmt: skip
    return redirect("evidence", row.pk)


@needs("alerts:write")
def hold_release(request: Asked, hold: str) -> HttpResponse:
    """Retention may go on."""
    row = seen_or_404(lambda: queries.find_hold(request.scope, hold))
    attempt(
        request,
        lambda: actions.release_hold(request.scope, row.pk, now=timezone.now()),
        "Released: retention goes on.",
    )
    return redirect("client", row.client_id)


@needs("installation:write")
def client_delete(request: Asked, client: str) -> HttpResponse:
    """Delete a client for good; its name is typed to confirm."""
    row = seen_or_404(lambda: find_client(request.scope, client))
    ordered = attempt(
        request,
        lambda: actions.order_deletion(
            request.scope, row.pk, confirm=request.POST.get("confirm", ""), now=timezone.now()
        ),
        f"It is being deleted. Its certificate: forestall client deletion-proof {row.pk}",
    )
    return redirect("clients") if ordered else redirect("client", row.pk)
