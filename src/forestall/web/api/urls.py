"""Addresses under /api/v1/. Whatever is not there, or not with this method, is answered as a problem too."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.urls import URLPattern, path, re_path

from forestall.web.api.application import api, openapi
from forestall.web.api.problems import method_not_allowed, not_found


def _problems(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer: HttpResponseBase = view(request, *args, **kwargs)
        return method_not_allowed(answer["Allow"]) if isinstance(answer, HttpResponseNotAllowed) else answer

    return answered


def _patterns() -> list[URLPattern]:
    patterns = []
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            pattern.callback = _problems(pattern.callback)
            patterns.append(pattern)
    return patterns


urlpatterns = [
    path("openapi.json", openapi, name="openapi"),
    *_patterns(),
    re_path(r"^.*\Z", not_found),
]
