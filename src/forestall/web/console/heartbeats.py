"""The page of a heartbeat: how it stands, what it said, and what to write into the job."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import queries
from forestall.intake import heartbeats
from forestall.intake.heartbeat_models import Heartbeat
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

PINGS_SHOWN = 30
SAID_MAX_CHARS = 2_000


@needs("estate:read")
def heartbeat_page(request: Asked, heartbeat: str) -> HttpResponse:
    """One heartbeat. Its address is shown to whoever may change the estate: who knows it can ping."""
    scope = request.scope
    row = seen_or_404(lambda: heartbeats.find_heartbeat(scope, heartbeat))
    pings = [
        (ping, bytes(ping.body).decode(errors="replace")[:SAID_MAX_CHARS])
        for ping in heartbeats.list_pings(scope, row, limit=PINGS_SHOWN)
    ]
    may = "estate:write" in request.rights
    return render(
        request,
        "console/heartbeat.html",
        {
            "nav": "assets",
            "row": row,
            "state": heartbeats.state_of(row, timezone.now()),
            "pings": pings,
            "address": heartbeats.address_of(row, settings.CONFIG.url) if may else "",
        },
    )


@needs("estate:write")
def heartbeat_add(request: Asked, asset: str) -> HttpResponse:
    """A new heartbeat of an asset; its page says what to write into the job."""
    given, scope = request.POST, request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))
    made: list[Heartbeat] = []

    def add() -> None:
        made.append(
            heartbeats.add_heartbeat(
                scope,
                asset=row,
                name=given.get("name", ""),
                period_s=_seconds(given.get("period", ""), given.get("period_unit", "")),
                grace_s=_seconds(given.get("grace", ""), given.get("grace_unit", "")),
            )
        )

    if attempt(request, add, "It waits for its first ping: write its address into the job."):
        return redirect("heartbeat", heartbeat=made[0].pk)
    return redirect("asset", asset=row.pk)


@needs("estate:write")
def heartbeat_remove(request: Asked, heartbeat: str) -> HttpResponse:
    """It is expected no more."""
    row = seen_or_404(lambda: heartbeats.find_heartbeat(request.scope, heartbeat))
    asset = row.asset_id
    attempt(
        request,
        lambda: heartbeats.remove_heartbeat(request.scope, row),
        f"{row.name} is expected no more; its address opens nothing.",
    )
    return redirect("asset", asset=asset)


def _seconds(number: str, unit: str) -> int:
    """A number of a form in its unit; 0, which is refused, when it is none."""
    return int(number) * int(unit) if number.isdecimal() and len(number) < 6 and unit.isdecimal() else 0
