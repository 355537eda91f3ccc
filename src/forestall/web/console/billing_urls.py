"""Addresses of billing."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.console import billing

urlpatterns = [
    path("billing/", billing.billing_page, name="billing"),
    path("billing/open", post(billing.billing_open), name="billing-open"),
    path("billing/seller", post(billing.seller_save), name="seller-save"),
    path("billing/rates/<str:tax_table>/sign", post(billing.rates_sign), name="rates-sign"),
    path("billing/open-items/", billing.open_items, name="open-items"),
    path("billing/statement", post(billing.statement_take), name="statement-take"),
    path("billing/books/<str:dialect>", billing.books_export, name="books-export"),
    path("billing/runs/<str:billing>/", billing.billing_run, name="billing-run"),
    path("billing/runs/<str:billing>/<str:what>", post(billing.billing_step), name="billing-step"),
    path("agreements/", billing.agreement_list, name="agreements"),
    path("agreements/new", billing.agreement_new, name="agreement-new"),
    path("agreements/<str:agreement>/", billing.agreement_page, name="agreement"),
    path("invoices/<str:invoice>/", billing.invoice_page, name="invoice"),
    path("invoices/<str:invoice>/credit", post(billing.invoice_credit), name="invoice-credit"),
    path("invoices/<str:invoice>/paper/<str:paper>", billing.invoice_paper, name="invoice-paper"),
]
