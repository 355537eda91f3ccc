"""The portal's addresses."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.portal import pages, sign_in

urlpatterns = [
    path("", pages.home, name="portal"),
    path("known", post(pages.known), name="portal-known"),
    path("tickets/", pages.tickets, name="portal-tickets"),
    path("tickets/<str:ticket>/", pages.ticket_page, name="portal-ticket"),
    path("tickets/<str:ticket>/join", pages.join, name="portal-join"),
    path("files/<str:given_file>", pages.give_file, name="portal-file"),
    path("sign-in/", sign_in.sign_in, name="portal-sign-in"),
    path("sign-in/<str:secret>/", sign_in.sign_in_link, name="portal-sign-in-link"),
    path("sign-in-end", sign_in.sign_out, name="portal-sign-out"),
]
