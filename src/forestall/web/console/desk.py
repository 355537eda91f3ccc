"""The desk: findings, alerts, tickets."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_duration

from forestall.alerts import actions as alert_actions
from forestall.alerts import queries as alerts
from forestall.alerts.evidence import export_document, load_bundle
from forestall.estate import queries as estate
from forestall.findings import queries as findings
from forestall.keeping.queries import list_holds
from forestall.tickets import actions as ticket_actions
from forestall.tickets import queries as tickets
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404
from forestall.web.console.reading import readable

WINDOW_LEAST, WINDOW_MOST = timedelta(minutes=5), timedelta(days=14)


@needs("findings:read")
def finding_list(request: Asked) -> HttpResponse:
    """Open findings, worst first."""
    given = request.GET
    page = findings.list_open(
        request.scope,
        client=given.get("client", ""),
        states=[given["state"]] if given.get("state") else (),
        words=given.get("q", ""),
        after=given.get("after") or None,
        most=100,
    )
    context = {
        "nav": "findings",
        "page": page,
        "counts": findings.count_open(request.scope).total,
        "state": given.get("state", ""),
        "q": given.get("q", ""),
    }
    return render(request, "console/findings.html", context)


@needs("findings:read")
def finding_page(request: Asked, finding: str) -> HttpResponse:
    """One finding: reason, numbers, its steps, its evidence."""
    row = seen_or_404(lambda: findings.get(request.scope, finding))
    context = {
        "nav": "findings",
        "finding": row,
        "steps": findings.history(request.scope, row.pk),
        "evidence": alerts.list_evidence(request.scope, finding=row.pk),
        "alerts": alerts.of(request.scope).filter(findings=row),
    }
    return render(request, "console/finding.html", context)


@needs("alerts:read")
def alert_list(request: Asked) -> HttpResponse:
    """Open alerts, then those that are over."""
    context = {
        "nav": "alerts",
        "open": alerts.list_open(request.scope, after=request.GET.get("after") or None, most=100),
        "over": alerts.list_recovered(request.scope, most=30),
        "windows": alerts.list_windows(request.scope, now=timezone.now()),
    }
    return render(request, "console/alerts.html", context)


@needs("alerts:read")
def alert_page(request: Asked, alert: str) -> HttpResponse:
    """One alert: its findings, evidence, who was told what."""
    page = seen_or_404(lambda: alerts.page_of(request.scope, alert))
    return render(request, "console/alert.html", {"nav": "alerts", "page": page, "alert": page.alert})


@needs("alerts:write")
def alert_acknowledge(request: Asked, alert: str) -> HttpResponse:
    """Somebody is on it."""
    note = request.POST.get("note", "")
    attempt(
        request,
        lambda: alert_actions.acknowledge_alert(request.scope, alert, now=timezone.now(), note=note),
        "Acknowledged: it will not be repeated.",
    )
    return redirect("alert", alert=alert)


@needs("alerts:write")
def window_open(request: Asked) -> HttpResponse:
    """Maintenance from now on, for a while."""
    given, now = request.POST, timezone.now()
    lasts = parse_duration(given.get("lasts", "01:00:00")) or timedelta(hours=1)
    lasts = max(WINDOW_LEAST, min(lasts, WINDOW_MOST))
    attempt(
        request,
        lambda: alert_actions.open_window(
            request.scope, client=given.get("client", ""), asset=given.get("asset") or None,
            title=given.get("title", ""), starts_at=now, ends_at=now + lasts, now=now,
        ),
        "Maintenance begun: nobody is told until it ends.",
    )  # fmt: skip
    return redirect("alerts")


@needs("alerts:write")
def window_close(request: Asked, window: str) -> HttpResponse:
    """Maintenance is over."""
    attempt(
        request,
        lambda: alert_actions.close_window(request.scope, window, now=timezone.now()),
        "Maintenance ended: what is still wrong is told now.",
    )
    return redirect("alerts")


@needs("alerts:read")
def evidence_page(request: Asked, evidence: str) -> HttpResponse:
    """What was sealed, readable."""
    row = seen_or_404(lambda: alerts.get_evidence(request.scope, evidence))
    bundle: dict[str, Any] = {}
    attempt(request, lambda: bundle.update(load_bundle(request.scope, row.pk)))
    held = list_holds(request.scope, client=row.client_id, asset=row.asset_id, now=timezone.now())
    context = {"nav": "alerts", "evidence": row, "parts": readable(bundle), "holds": held}
    return render(request, "console/evidence.html", context)


@needs("alerts:read")
def evidence_file(request: Asked, evidence: str) -> HttpResponse:
    """The file for an outsider."""
    data = seen_or_404(lambda: export_document(request.scope, evidence, now=timezone.now()))
    answer = HttpResponse(data, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="evidence-{evidence}.json"'
    return answer


@needs("tickets:read")
def ticket_list(request: Asked) -> HttpResponse:
    """Tickets, most urgent first."""
    given = request.GET
    page = tickets.list_tickets(
        request.scope,
        open_only=given.get("all") != "1",
        words=given.get("q", ""),
        after=given.get("after") or None,
        most=100,
    )
    context = {"nav": "tickets", "page": page, "q": given.get("q", ""), "all": given.get("all") == "1"}
    return render(request, "console/tickets.html", context)


@needs("tickets:write")
def ticket_new(request: Asked) -> HttpResponse:
    """A ticket by hand."""
    given = request.POST
    if request.method == "POST":
        made: list[str] = []
        priority = given.get("priority", "3")
        done = attempt(
            request,
            lambda: made.append(
                ticket_actions.open_by_hand(
                    request.scope, client=estate.client_called(request.scope, given.get("client", "")).pk,
                    title=given.get("title", ""),
                    text=given.get("text", ""), asset=given.get("asset") or None,
                    priority=int(priority) if priority.isdecimal() else 3, now=timezone.now(),
                ).pk
            ),
            "Ticket opened.",
        )  # fmt: skip
        if done:
            return redirect("ticket", ticket=made[0])
    given = given or request.GET
    asset = estate.find_asset(request.scope, given["asset"]) if given.get("asset") else None
    client = asset.client if asset else estate.find_client(request.scope, given.get("client", ""))
    chosen = client.name if client else given.get("client", "")
    clients = estate.clients_like(request.scope, chosen)
    context = {"nav": "tickets", "clients": clients, "given": given, "asset": asset, "chosen": chosen}
    return render(request, "console/ticket_new.html", context)


@needs("tickets:read")
def ticket_page(request: Asked, ticket: str) -> HttpResponse:
    """One ticket: reason, evidence, what changed before, the timeline."""
    page = seen_or_404(lambda: tickets.page_of(request.scope, ticket, now=timezone.now()))
    people = [
        person
        for person in estate.list_people(request.scope)
        if person.is_active and person.role not in ("client_contact", "accounting", "read_only")
    ]
    statuses = ("open", "in_progress", "waiting", "resolved", "closed")
    context = {
        "nav": "tickets",
        "page": page,
        "ticket": page.ticket,
        "changes": page.changes or page.before.changes[::-1],
        "people": people,
        "statuses": statuses,
    }
    return render(request, "console/ticket.html", context)


@needs("tickets:write")
def ticket_change(request: Asked, ticket: str, what: str) -> HttpResponse:
    """Note, status, assignment, priority, timer."""
    given, scope, now = request.POST, request.scope, timezone.now()
    person = request.user
    match what:
        case "note":
            attempt(request, lambda: ticket_actions.note(scope, ticket, text=given.get("text", ""), now=now))
        case "status":
            attempt(
                request,
                lambda: ticket_actions.set_status(scope, ticket, status=given.get("status", ""), now=now),
            )
        case "assign":
            who = given.get("person") or None
            attempt(request, lambda: ticket_actions.assign(scope, ticket, person=who, now=now))
        case "priority":
            priority = given.get("priority", "")
            attempt(
                request,
                lambda: ticket_actions.set_priority(
                    scope, ticket, priority=int(priority) if priority.isdecimal() else 0, now=now
                ),
            )
        case "start":
            attempt(request, lambda: ticket_actions.start_timer(scope, ticket, person=person, now=now))  # type: ignore[arg-type]
        case "stop":
            seen_or_404(lambda: tickets.get(scope, ticket))
            attempt(request, lambda: ticket_actions.stop_timer(scope, person=person, now=now))  # type: ignore[arg-type]
    return redirect("ticket", ticket=ticket)
