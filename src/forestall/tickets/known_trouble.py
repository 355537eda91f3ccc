"""What we know already of a client's trouble, in words for the person who reports it: "We saw it 12 minutes
ago, Ana is on it". Only of their own client."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from forestall.alerts.models import Alert
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.findings.gate import seen
from forestall.kernel.words import say_duration
from forestall.tickets.models import Ticket

MOST = 5
LOOK_AT_MOST = 200
WITHIN = timedelta(days=3)
WORD_LEAST = 3
_WORDS = re.compile(r"[^\W_]{3,40}")
# What people say, and which kinds of assets it is about.
ABOUT = {
    "internet": ("firewall", "router", "switch", "access_point"),
    "network": ("firewall", "router", "switch", "access_point"),
    "wifi": ("access_point", "router", "firewall"),
    "wlan": ("access_point", "router", "firewall"),
    "printer": ("printer",), "print": ("printer",), "drucker": ("printer",),
    "website": ("website", "certificate", "domain"), "shop": ("website",), "homepage": ("website",),
    "mail": ("mailbox_domain",), "email": ("mailbox_domain",),
    "server": ("server", "storage"), "file": ("server", "storage"), "files": ("server", "storage"),
    "database": ("server", "service"), "backup": ("backup_plan", "storage"), "power": ("ups",),
    "laptop": ("workstation",), "computer": ("workstation",), "pc": ("workstation",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that we see. `who` is on it ("" for nobody yet); `fits`: it is likely what was reported."""

    what: str
    since: datetime
    who: str
    number: int
    ticket: str
    fits: bool

    def said(self, now: datetime) -> str:
        """In a sentence."""
        ago = say_duration(max(60.0, (now - self.since).total_seconds()))
        who = f"{self.who} is on it" if self.who else "we are on it"
        return f"{self.what}: we saw it {ago} ago, {who} (ticket #{self.number})."


def known_trouble(scope: Scope, *, client: str, text: str = "", now: datetime) -> list[Trouble]:
    """Open trouble of a client, what fits the words of a report first. Work of ours alone is not shown: only
    what an alert told."""
    alerts = (
        seen(Alert, scope)
        .filter(client=client, recovered_at=None, told_at__isnull=False, opened_at__gt=now - WITHIN)
        .select_related("asset")
        .order_by("-opened_at", "-pk")[:LOOK_AT_MOST]
    )
    words = _words(text)
    found = []
    tickets = _tickets(scope, client, [alert.pk for alert in alerts])
    for alert in alerts:
        ticket = tickets.get(alert.pk)
        if ticket is None:
            continue
        asset = alert.asset
        theirs = _words(f"{alert.title} {asset.name if asset else ''}")
        kinds = {kind for word in words for kind in ABOUT.get(word, ())}
        fits = bool(words & theirs) or bool(asset and asset.kind in kinds)
        kind = ASSET_KINDS.get(asset.kind, "") if asset else ""
        what = f"{kind} {asset.name}" if asset and kind else alert.title
        who = ticket.assignee.name.split()[0] if ticket.assignee else ""
        found.append(Trouble(what, alert.opened_at, who, ticket.number, ticket.pk, fits))
    return sorted(found, key=lambda one: not one.fits)[:MOST]


def _tickets(scope: Scope, client: str, alerts: Collection[str]) -> dict[str, Ticket]:
    rows = seen(Ticket, scope).filter(client=client, closed_at=None, links__alert__in=alerts)
    found: dict[str, Ticket] = {}
    for ticket in rows.select_related("assignee").prefetch_related("links").distinct():
        for link in ticket.links.all():
            found.setdefault(link.alert_id, ticket)
    return found


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(text[:5_000]) if len(word) >= WORD_LEAST} - _COMMON


_COMMON_WORDS = """
the and not for with has have are was were this that from since our your you can does cannot again down slow
work works working problem please help error all nothing der die das und nicht ist geht mit seit unser wir
"""
_COMMON = frozenset(_COMMON_WORDS.split())
