"""Errors of the API as RFC 9457 problems. What is not there and what another client
owns are the same bytes."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.exceptions import ValidationError as WeakPassword
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from forestall.agreements.checks import Wrong
from forestall.alerts.values import SendFailed
from forestall.estate.access import Refused
from forestall.kernel.errors import Trouble
from forestall.telemetry.client import StoreUnavailable
from forestall.telemetry.language import SearchError
from forestall.web.middleware import UNKEEPABLE

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be done",
    429: "Too many requests",
    500: "A fault of ours",
    502: "Another server failed",
    503: "Not available now",
}
log = logging.getLogger("api")


class Problem(Exception):
    """An error that the API answers as it is."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, Any]] = (),
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """The answer: `type`, `title`, `status`, `detail`, and `errors` (where and what) if there are any."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return HttpResponse(json.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)


def not_found(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """There is nothing here, or nothing that you see."""
    return problem(404, "there is nothing here")


def method_not_allowed(allowed: str) -> HttpResponse:
    """The address is right, the method is not."""
    allowed = ", ".join(sorted(allowed.split(", ")))
    return problem(405, f"this address takes {allowed}", headers={"Allow": allowed})


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [{"at": _place(one["loc"]), "what": one["msg"]} for one in error.errors]
    return problem(422, "something in the request is missing or wrong", errors=errors)


def _at_fields(error: Wrong) -> list[dict[str, Any]]:
    return [{"at": f"body.{name}", "what": text} for name, text in error.fields.items()]


def _place(location: Sequence[int | str]) -> str:
    """`body.name`, `query.limit`: the name of our own parameter is left out."""
    kept = location if len(location) < 3 or location[0] != "body" else (location[0], *location[2:])
    return ".".join(str(part) for part in kept)


def _fault(request: HttpRequest, error: Exception) -> HttpResponse:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "this is a fault of ours; it was written to the log")


def _unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(
        401, "send a token as Authorization: Bearer …, or sign in", headers={"WWW-Authenticate": "Bearer"}
    )


def install(api: NinjaAPI) -> None:
    """Give the API these answers for everything that can go wrong in it."""

    def search(request: HttpRequest, error: SearchError) -> HttpResponse:
        return problem(422, error.message, errors=[{"at": "query.q", "position": error.position}])

    def unavailable(request: HttpRequest, error: StoreUnavailable) -> HttpResponse:
        return problem(503, "the store does not answer", headers={"Retry-After": str(RETRY_AFTER_S)})

    handlers: list[tuple[type[Exception], Any]] = [
        (Exception, _fault),
        (Http404, not_found),
        (ObjectDoesNotExist, not_found),
        (Problem, lambda request, error: problem(error.status, error.detail)),
        (Refused, lambda request, error: problem(403, str(error))),
        (PermissionDenied, lambda request, error: problem(403, str(error))),
        (Wrong, lambda request, error: problem(422, str(error), errors=_at_fields(error))),
        (Trouble, lambda request, error: problem(422, str(error))),
        (DataError, lambda request, error: problem(422, UNKEEPABLE)),
        (WeakPassword, lambda request, error: problem(422, " ".join(error.messages))),
        (ValidationError, _invalid),
        (HttpError, lambda request, error: problem(error.status_code, str(error))),
        (AuthenticationError, _unauthenticated),
        (SearchError, search),
        (StoreUnavailable, unavailable),
        (SendFailed, lambda request, error: problem(502, f"it was not delivered: {error}")),
    ]
    for kind, handler in handlers:
        api.add_exception_handler(kind, handler)
