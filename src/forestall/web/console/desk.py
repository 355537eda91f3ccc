"""What is wrong: findings, alerts, evidence."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_duration

from forestall.alerts import actions as alert_actions
from forestall.alerts import queries as alerts
from forestall.alerts.evidence import export_document, load_bundle
from forestall.findings import queries as findings
from forestall.keeping.queries import list_holds
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
