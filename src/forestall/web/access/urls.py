"""Addresses for getting in, besides allauth's under /accounts/."""

from django.urls import path

from forestall.web.access.pages import set_up

urlpatterns = [path("set-up/<str:secret>/", set_up, name="set-up")]
