"""For the programs that watch Forestall: is it alive, is it ready, its own numbers. Nothing of a client."""

import time

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

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
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _may_read(request: HttpRequest) -> bool:
    if request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and "HTTP_X_FORWARDED_FOR" not in request.META:
        return True
    from forestall.estate.access import rights_of_bearer

    return "installation:read" in rights_of_bearer(request.headers.get("authorization", ""))


def _age_s(role: str) -> float:
    sign = read_sign(settings.DATA.run, role)
    return sign.age_s(time.time()) if sign else float("inf")
