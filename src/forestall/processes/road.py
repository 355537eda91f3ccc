"""The road from a transition to a person: findings, evidence, alerts, tickets, in this order.

Evidence is sealed before an alert can make a delivery. Every step is safe to repeat, so a crash anywhere is
mended by the next call.
"""

from collections.abc import Sequence
from datetime import datetime

from forestall.alerts import actions as alerts
from forestall.alerts.evidence import Reader, seal_missing
from forestall.findings.actions import apply
from forestall.judge.values import Transition
from forestall.tickets.following import follow_alerts


class Road:
    """Applies what was judged. `reader` is where evidence comes from."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def take(self, transitions: Sequence[Transition], *, now: datetime) -> None:
        """Transitions become findings; those that tell get their evidence, an alert and, told, a ticket."""
        if not transitions:
            return
        applied = apply(transitions, now=now)
        moved = [*applied.opened, *applied.changed, *applied.ended]
        telling = [finding for finding in (*applied.opened, *applied.changed) if finding.tells]
        if telling:
            seal_missing(telling, self._reader, now=now)
        if moved:
            alerts.raise_for(moved, now=now)
            follow_alerts(now=now)

    def tick(self, *, now: datetime) -> None:
        """What only time decides: group waits, windows, repeats, tickets of what was told."""
        alerts.tick(now=now)
        follow_alerts(now=now)
