"""Around every page: which host it is asked under, what a browser may keep, how a mistake is answered.

Stands after the content security policy and before the views (web.settings).
"""

import ipaddress
import socket
from contextlib import nullcontext
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from forestall.estate.access import Refused
from forestall.estate.tenancy import Scope, let_go
from forestall.kernel.errors import Trouble

LOCAL_NAMES = frozenset({"localhost", "testserver"})  # RFC 6761; the second is Django's test client
UNKEEPABLE = "something that was sent is too long, or has a character that cannot be kept: leave that out"
NOT_NEEDED = (
    "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "payment=(), usb=(), browsing-topics=()"
)


class HostCheck(MiddlewareMixin):
    """Answer only under a name that is ours: a page of somebody else's whose name was pointed at this
    machine (DNS rebinding) gets nothing. Addresses are always ours, a rebound name never is one."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        host = name_of(request.get_host())  # raises DisallowedHost (400) for what is no host at all
        if is_address(host) or host in known_names():
            return None
        return HttpResponse(
            f"Forestall does not answer under the name {host or '(none)'}. If it should, set public_url in"
            " forestall.toml to the address that people type.\n",
            status=421,
            content_type="text/plain; charset=utf-8",
        )


class Reach(MiddlewareMixin):
    """Where a request ends, so does what its reader was kept within (estate.tenancy)."""

    def process_request(self, request: HttpRequest) -> None:
        let_go()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        let_go()
        return response


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, with each file (some tens of kilobytes) as a whole: a file that is streamed blocks the
    event loop under ASGI, and Django warns of it at each request."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        """A file as an answer."""
        found = static_file.get_response(request.method, request.META)
        with found.file or nullcontext() as file:
            answer = HttpResponse(file.read() if file else b"", status=int(found.status))
        del answer["content-type"]
        for name, value in found.headers:
            answer[name] = value
        return answer


class Caution(MiddlewareMixin):
    """What a browser may do with a page: keep nothing of what somebody saw, use none of the machine's
    sensors. Source: OWASP ASVS 5.0, 3.4 and 14.3.2."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Permissions-Policy", NOT_NEEDED)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if isinstance(getattr(request, "scope", None), Scope):  # it came through the gate
            response.headers.setdefault("Cache-Control", "no-store, private")
        return response


class Mistakes(MiddlewareMixin):
    """A mistake of whoever asked, that no page caught: said in words on a page, not as a failure of ours."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refused):
            raise PermissionDenied(str(exception)) from exception
        if isinstance(exception, DataError) and not request.path.startswith("/api/"):
            messages.error(request, UNKEEPABLE)  # PostgreSQL says so; SQLite takes it
            return render(request, "400.html", status=400)
        if not isinstance(exception, Trouble) or request.path.startswith("/api/"):
            return None
        messages.error(request, str(exception))
        return render(request, "400.html", status=400)


def name_of(host: str) -> str:
    """The name in a Host header, without its port, in small letters; "" when it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_address(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def known_names() -> frozenset[str]:
    """The names under which this installation answers."""
    own = {socket.gethostname().lower(), settings.CONFIG.host.lower()}
    if settings.CONFIG.public_url:
        own.add(name_of(urlsplit(settings.CONFIG.public_url).netloc))
    return LOCAL_NAMES | own
