"""Addresses of economics."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.console import economics

urlpatterns = [
    path("economics/", economics.economics_page, name="economics"),
    path("economics/reckon", post(economics.economics_reckon), name="economics-reckon"),
    path("economics/clients/<str:client>/", economics.economics_client, name="economics-client"),
    path("economics/rules/", economics.economics_rules, name="economics-rules"),
    path("economics/ahead/", economics.economics_ahead, name="economics-ahead"),
    path("economics/costs/", economics.economics_costs, name="economics-costs"),
    path("economics/costs/<str:what>/add", post(economics.economics_cost_add), name="economics-cost-add"),
    path(
        "economics/costs/<str:what>/withdraw",
        post(economics.economics_cost_withdraw),
        name="economics-cost-withdraw",
    ),
    path("economics/months/<str:reckoned_month>/", economics.owner_month, name="owner-month"),
    path("economics/months/<str:reckoned_month>/pdf", economics.owner_month_pdf, name="owner-month-pdf"),
    path("economics/tables/<str:table>", economics.economics_csv, name="economics-csv"),
]
