"""How numbers and times are said on pages: kernel.words, as template filters."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forestall.estate.values import ASSET_KINDS
from forestall.kernel.clock import from_ms
from forestall.kernel.credentials import KINDS
from forestall.kernel.words import say_bytes, say_duration, say_quantity
from forestall.telemetry.language import SEVERITIES

register = template.Library()
UNITS = ("ratio", "bytes", "ms", "s", "days", "celsius")
SHORT = {
    "bgp": "BGP",
    "cpu": "CPU",
    "dns": "DNS",
    "http": "HTTP",
    "icmp": "ICMP",
    "ntp": "NTP",
    "sql": "SQL",
    "smtp": "SMTP",
}
STATES = {
    "in_spec": "In spec",
    "out_of_spec": "Out of spec",
    "in_progress": "In progress",
    "given_up": "Given up",
}


@register.filter
def state_name(state: str) -> str:
    """`out_of_spec` as people read it."""
    return STATES.get(state, state.replace("_", " ").capitalize())


@register.filter
def pill(state: str) -> SafeString:
    """A state as a coloured pill."""
    return format_html('<span class="pill is-{}">{}</span>', state, state_name(state))


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """`3 min ago`, with the exact time as its title."""
    if at is None:
        return "never"
    seconds = (timezone.now() - at).total_seconds()
    text = f"in {say_duration(seconds)}" if seconds < -1 else f"{say_duration(max(1, seconds))} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", text
    )


@register.filter
def exact(at: datetime | None) -> SafeString | str:
    """`23 Nov 02:11:09` in UTC."""
    if at is None:
        return ""
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), f"{at:%d %b %H:%M:%S}")


@register.filter
def exact_ms(at_ms: int) -> SafeString | str:
    """Milliseconds since 1970 as `23 Nov 02:11:09`."""
    return exact(from_ms(at_ms))


@register.filter
def bytes_size(count: float) -> str:
    """`1.4 GB`."""
    return say_bytes(count)


@register.filter
def duration(seconds: Any) -> str:
    """`2 h 5 min`, of seconds or a timedelta."""
    return say_duration(seconds.total_seconds() if hasattr(seconds, "total_seconds") else float(seconds))


@register.filter
def quantity(value: float, metric: str) -> str:
    """A value in its metric's unit."""
    return say_quantity(metric, value)


@register.filter
def metric_title(metric: str) -> str:
    """`disk.used_ratio` as people read it: `Disk used`. The unit stands at the value."""
    room, _, rest = metric.removesuffix("_per_s").rpartition(".")
    name = rest.removesuffix("_count")
    for unit in UNITS:
        name = name.removesuffix(f"_{unit}")
    words = f"{room.replace('.', ' ')} {name.replace('_', ' ')}".strip()
    first, _, others = words.partition(" ")
    return " ".join(filter(None, [SHORT.get(first, first.capitalize()), others]))


@register.filter
def severity(number: int) -> str:
    """A severity's name."""
    return SEVERITIES[number]


@register.filter
def severity_of(text: str) -> str:
    """The name of a severity that a facet counts (its number as text, or its name already)."""
    return SEVERITIES[int(text)] if text.isdecimal() and int(text) < len(SEVERITIES) else text


@register.filter
def severity_class(number: int) -> str:
    """The colour of a severity."""
    return "is-bad" if number <= 3 else "is-warn" if number == 4 else ""


@register.filter
def kind_name(kind: str) -> str:
    """An asset's kind as people read it."""
    return ASSET_KINDS.get(kind, kind)


@register.filter
def credential_kind(kind: str) -> str:
    """A kind of credential as people read it."""
    return KINDS[kind].title if kind in KINDS else kind


@register.filter
def initials(name: str) -> str:
    """`Jo Ortiz` → `JO`."""
    return "".join(part[0] for part in name.split()[:2]).upper() or "?"


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """A value of a mapping by a variable key."""
    return mapping.get(key, "")


@register.filter
def without_name(reason: str, name: str) -> str:
    """A finding's reason where the plan's name stands beside it already."""
    rest = reason.removeprefix(f"{name}: ")
    return rest[:1].upper() + rest[1:]
