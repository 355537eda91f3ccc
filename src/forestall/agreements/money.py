"""Amounts as integers of the currency's smallest unit: rounding, parting without a remainder. Pure."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from babel.core import get_global
from babel.numbers import get_currency_precision

from forestall.kernel.errors import Trouble

PERCENT = 10_000  # rates are in hundredths of a percent: 1900 is 19%
AMOUNT_MAX = 10**13
RULE = "tax once per category and rate, half away from zero, parted over lines by largest remainder"


def share(amount: int, numerator: int, denominator: int) -> int:
    """`amount * numerator / denominator`, half away from zero. Raises ValueError for a denominator ≤ 0."""
    if denominator <= 0:
        raise ValueError(f"a share needs a positive denominator, not {denominator}")
    product = amount * numerator
    whole = (2 * abs(product) + denominator) // (2 * denominator)
    return whole if product >= 0 else -whole


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in parts by weight that sum to it exactly (largest remainder, the earlier one first in a tie).

    Weights may be negative (a credit among charges). When they sum to zero, the first non-zero one takes all.
    """
    if not weights:
        if total:
            raise ValueError(f"{total} cannot be parted among nobody")
        return []
    whole = sum(weights)
    if whole == 0:
        first = next((place for place, weight in enumerate(weights) if weight), 0)
        return [total if place == first else 0 for place in range(len(weights))]
    parts, remainders = [], []
    for weight in weights:
        part, rest = divmod(total * weight * (1 if whole > 0 else -1), abs(whole))
        parts.append(part)
        remainders.append(rest)
    missing = total - sum(parts)
    for place in sorted(range(len(weights)), key=lambda one: (-remainders[one], one))[:missing]:
        parts[place] += 1
    return parts


def part_of_month(price: int, *, first: int, after: int, days: int) -> int:
    """What days `first` to `after` (exclusive, counted from 0) of a month of `days` cost. The parts of any
    partition of the month sum to the price exactly."""
    return share(price, after, days) - share(price, first, days)


def known_currency(code: str) -> str:
    """The code in capitals. Raises Trouble for one that ISO 4217 does not have."""
    wanted = code.strip().upper()
    if wanted not in get_global("all_currencies"):
        raise Trouble(f"there is no currency {code!r}", "Write its three letters, for example EUR.")
    return wanted


def digits_of(currency: str) -> int:
    """Decimal digits of the currency: 2 for EUR, 0 for JPY."""
    return get_currency_precision(currency)


def to_decimal(amount: int, currency: str) -> Decimal:
    """The amount as a decimal number with the currency's digits."""
    return Decimal(amount).scaleb(-digits_of(currency))


def written(amount: int, currency: str) -> str:
    """As machines read it: `-1234.50`."""
    return f"{to_decimal(amount, currency):f}"


def read_amount(text: str, currency: str, *, what: str = "an amount") -> int:
    """Minor units of what a person wrote: 95, 95.00 or 95,00. Raises Trouble."""
    cleaned = text.strip().replace(" ", "").replace("\u00a0", "")
    if "," in cleaned and "." not in cleaned:
        cleaned = cleaned.replace(",", ".")
    try:
        exact = Decimal(cleaned).scaleb(digits_of(currency))
    except InvalidOperation as error:
        raise Trouble(f"{what} is no number: {text.strip()!r}", "Write for example 95.00.") from error
    if not exact.is_finite() or exact != exact.to_integral_value() or abs(exact) > AMOUNT_MAX:
        raise Trouble(
            f"{what} of {text.strip()} does not fit {currency}",
            f"{currency} has {digits_of(currency)} digits after the point.",
        )
    return int(exact)
