"""Amounts of money as people read them."""

from babel.numbers import format_currency
from django import template

from forestall.agreements.money import to_decimal

register = template.Library()


@register.filter
def money(amount: int | None, currency: str) -> str:
    """Minor units with their currency: `€9,500.00`; a dash for nothing known."""
    if amount is None:
        return "–"
    return str(format_currency(to_decimal(amount, currency), currency, locale="en"))


@register.filter
def percent(hundredths: int) -> str:
    """Hundredths of a percent as `19 %`."""
    return f"{hundredths / 100:g} %"
