"""Hours and shares as people read them."""

from django import template

from forestall.economics.reasons import say_hours, say_share
from forestall.economics.values import MonthSum

register = template.Library()


@register.filter
def hours(seconds: int) -> str:
    """`3 h 05 min`."""
    return say_hours(seconds)


@register.filter
def share(part: float | None) -> str:
    """`49.1%`, a dash for none."""
    return say_share(part)


@register.filter
def below(height: int, base: int) -> int:
    """Where a bar of that height begins, from the top."""
    return base - height


@register.filter
def reactive(sums: MonthSum) -> str:
    """Reactive hours per endpoint and month."""
    found = sums.reactive_per_endpoint
    return "–" if found is None else f"{found:.2f}"
