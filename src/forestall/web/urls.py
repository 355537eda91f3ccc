"""Every address that Forestall answers, besides the intake's doors (web.asgi)."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

from forestall.web import operations

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", operations.healthz),
    path("readyz", operations.readyz),
    path("metrics", operations.metrics),
    path("accounts/", include("allauth.urls")),
]
for _part, _prefix in (("access", ""), ("api", "api/v1/"), ("console", "")):
    if find_spec(f"forestall.web.{_part}") and find_spec(f"forestall.web.{_part}.urls"):
        urlpatterns.append(path(_prefix, include(f"forestall.web.{_part}.urls")))
