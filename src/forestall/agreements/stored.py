"""Stored terms, rates and days of agreements as values."""

import msgspec

from forestall.agreements.models import Agreement, TaxTable
from forestall.agreements.values import Life, Rate, Rates, Terms


def terms_in(stored: object) -> Terms:
    """Terms from a stored version."""
    return msgspec.convert(stored, Terms)


def life_of(agreement: Agreement) -> Life:
    """From when to when it runs; an agreement that is not renewed ends with its term (see actions)."""
    return Life(agreement.starts_on, agreement.ends_on)


def rates_of(row: TaxTable) -> Rates:
    """The rates of a stored table."""
    return Rates(row.version, msgspec.convert(row.rates, tuple[Rate, ...]), row.signed_by)
