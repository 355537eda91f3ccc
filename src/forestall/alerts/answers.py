"""Which findings stand on one answer of one probe: a certificate about to run out that is not trusted
either, an error page that is not the page expected. They have one cause. Pure."""

import re
from datetime import timedelta

from forestall.alerts.values import Wrong
from forestall.judge.metrics import find_metric

TOGETHER = timedelta(seconds=120)
PORTS = {"http": "80", "https": "443"}
ANY_PORT = "*"  # of `tls shop.example`: which it is depends on the probe's settings
_PLACE = re.compile(r"(?:\S+ )?(?:([\w+]+)://)?(?:[^\s/@]*@)?(\[[^\]]*\]|[^\s/?#:@]+)(?::(\d+))?(?=[/?#]|$)")


def is_asked(finding: Wrong) -> bool:
    """Whether a probe's answer brought what it stands on."""
    metric = find_metric(finding.metric)
    return metric is not None and metric.asked


def place_of(item: str) -> tuple[str, str]:
    """Host and port that an item names: `http https://shop.example/cart` and `shop.example:443` name the
    same. The port is "" where there is none (`icmp 10.0.0.5`); ("", "") when it names no host."""
    found = _PLACE.match(item)
    if found is None:
        return "", ""
    scheme, host, port = found.groups()
    usual = ANY_PORT if item.startswith("tls ") else PORTS.get(scheme or "", "")
    return host.lower(), port or usual


def same_answer(one: Wrong, other: Wrong) -> bool:
    """Whether two findings stand on one answer: about one place at one asset, and they began together or
    one of them began when the other became worse (a certificate that ran out)."""
    if one.asset != other.asset or not (is_asked(one) and is_asked(other)):
        return False
    if one.item != other.item and not _same_place(one.item, other.item):
        return False
    nearest = min(
        abs(one.began_at - other.began_at),
        abs(one.began_at - other.changed_at),
        abs(one.changed_at - other.began_at),
    )
    return nearest <= TOGETHER


def _same_place(one: str, other: str) -> bool:
    (host, port), (other_host, other_port) = place_of(one), place_of(other)
    return bool(host) and host == other_host and (port == other_port or ANY_PORT in (port, other_port))
