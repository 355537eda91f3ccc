"""Addresses of billing."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.console import billing, billing_changes, billing_credits

urlpatterns = [
    path("billing/", billing.billing_page, name="billing"),
    path("billing/open", post(billing.billing_open), name="billing-open"),
    path("billing/seller", post(billing.seller_save), name="seller-save"),
    path("billing/rates/<str:tax_table>/sign", post(billing.rates_sign), name="rates-sign"),
    path("billing/open-items/", billing.open_items, name="open-items"),
    path("billing/statement", post(billing.statement_take), name="statement-take"),
    path("billing/books/<str:dialect>", billing.books_export, name="books-export"),
    path("billing/runs/<str:billing>/", billing.billing_run, name="billing-run"),
    path("billing/runs/<str:billing>/send", post(billing_changes.run_send), name="billing-send"),
    path("billing/dunning", post(billing_changes.dunning), name="dunning"),
    path("billing/prices/", billing_changes.prices_page, name="prices"),
    path("billing/prices/put", post(billing_changes.price_put), name="price-put"),
    path("billing/prices/rates", post(billing_changes.rates_add), name="rates-add"),
    path("billing/prices/index", post(billing_changes.index_put), name="index-put"),
    path("agreements/<str:agreement>/change", billing_changes.agreement_change, name="agreement-change"),
    path("agreements/<str:agreement>/credit", post(billing_credits.credit_give), name="credit-give"),
    path("credits/<str:credit>/take-back", post(billing_credits.credit_take_back), name="credit-take-back"),
    path("agreements/<str:agreement>/end", post(billing_changes.agreement_end), name="agreement-end"),
    path("invoices/<str:invoice>/send", post(billing_changes.invoice_send), name="invoice-send"),
    path("invoices/<str:invoice>/pay", post(billing_changes.invoice_pay), name="invoice-pay"),
    path("billing/runs/<str:billing>/<str:what>", post(billing.billing_step), name="billing-step"),
    path("agreements/", billing.agreement_list, name="agreements"),
    path("agreements/new", billing.agreement_new, name="agreement-new"),
    path("agreements/<str:agreement>/", billing.agreement_page, name="agreement"),
    path("invoices/<str:invoice>/", billing.invoice_page, name="invoice"),
    path("invoices/<str:invoice>/credit", post(billing.invoice_credit), name="invoice-credit"),
    path("invoices/<str:invoice>/paper/<str:paper>", billing.invoice_paper, name="invoice-paper"),
]
