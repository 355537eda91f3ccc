"""For the programs that watch Forestall: is it alive, is it ready, its own numbers. Nothing of a client."""

import time

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

from forestall.estate.tenancy import system_scope
from forestall.intake.counts import ACCEPTED, DROPPED, OUTCOMES, REJECTED, REPEATED
from forestall.intake.doors import load_doors
from forestall.intake.queries import sum_quarantine
from forestall.kernel.signs import read_sign

SIGN_LATE_S = 15.0
ROLES = ("store", "watch", "web", "guard")


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Every part that a person needs answers; 503 says which does not."""
    missing = [role for role in ROLES if _age_s(role) > SIGN_LATE_S]
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        missing.append(f"database ({error})")
    if missing:
        return HttpResponse(f"not ready: {', '.join(missing)}\n", status=503, content_type="text/plain")
    return HttpResponse("ready\n", content_type="text/plain")


def metrics(request: HttpRequest) -> HttpResponse:
    """Forestall's own numbers in the Prometheus text format 0.0.4. For this machine and bearers of a token
    that may read the installation."""
    if not _may_read(request):
        return HttpResponse(
            "a token that may read the installation is needed\n", status=401, content_type="text/plain"
        )
    lines = []
    for role in ROLES:
        sign = read_sign(settings.DATA.run, role)
        age_s = _age_s(role)
        lines.append(f'forestall_role_up{{role="{role}"}} {int(age_s < SIGN_LATE_S)}')
        for name, value in (sign.numbers if sign else {}).items():
            if isinstance(value, int | float) and name.isidentifier():
                lines.append(f'forestall_{name}{{role="{role}"}} {value:g}')
    lines += _intake()
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def list_doors() -> list[tuple[str, dict[str, int]]]:
    """Each door and listener with its records by outcome since its process began: accepted,
    repeated, rejected, dropped, waiting."""
    web, watch = read_sign(settings.DATA.run, "web"), read_sign(settings.DATA.run, "watch")
    found = {name: dict.fromkeys(OUTCOMES, 0) for name in load_doors()}
    for name, counts in (web.numbers.get("doors", {}) if web else {}).items():
        found[name] = {outcome: int(counts.get(outcome, 0)) for outcome in OUTCOMES}
    for name, counts in (watch.numbers.get("listeners", {}) if watch else {}).items():
        found[name] = {
            "accepted": int(counts.get("received", 0)),
            "repeated": int(counts.get("repeated", 0)),
            "rejected": int(counts.get("rejected", 0)),
            "dropped": int(counts.get("udp_dropped", 0)) + int(counts.get("lost", 0)),
            "waiting": int(counts.get("waiting", 0)),
        }
    return sorted(found.items())


def _intake() -> list[str]:
    """Records by door and what became of them."""
    lines = ["# TYPE forestall_intake_records_total counter"]
    doors = list_doors()
    lines += [
        f'forestall_intake_records_total{{door="{name}",outcome="{outcome}"}} {counts[outcome]}'
        for name, counts in doors
        for outcome in (ACCEPTED, REPEATED, REJECTED, DROPPED)
    ]
    lines.append("# TYPE forestall_intake_waiting_records gauge")
    lines += [f'forestall_intake_waiting_records{{door="{name}"}} {one["waiting"]}' for name, one in doors]
    lines.append("# TYPE forestall_quarantine_records gauge")
    for (door, state), count in sorted(sum_quarantine(system_scope("metrics")).items()):
        lines.append(f'forestall_quarantine_records{{door="{door}",state="{state}"}} {count}')
    return lines


def _may_read(request: HttpRequest) -> bool:
    if request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and "HTTP_X_FORWARDED_FOR" not in request.META:
        return True
    from forestall.estate.access import rights_of_bearer

    return "installation:read" in rights_of_bearer(request.headers.get("authorization", ""))


def _age_s(role: str) -> float:
    sign = read_sign(settings.DATA.run, role)
    return sign.age_s(time.time()) if sign else float("inf")
