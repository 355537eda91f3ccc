"""Every address that Forestall answers, besides the intake's doors (web.asgi)."""

from django.urls import URLPattern, URLResolver, include, path

from forestall.web import operations
from forestall.web.access.pages import PasswordForgotten
from forestall.web.agent_reports import agent_report

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", operations.healthz),
    path("readyz", operations.readyz),
    path("metrics", operations.metrics),
    path("agent/v1/report", agent_report, name="agent-report"),
    path("accounts/password/reset/", PasswordForgotten.as_view(), name="account_reset_password"),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", include("forestall.web.api.urls")),
    path("", include("forestall.web.access.urls")),
    path("portal/", include("forestall.web.portal.urls")),
    path("", include("forestall.web.console.urls")),
]
