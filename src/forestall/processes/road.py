"""The road from a transition to a person: findings, evidence, alerts, tickets, problems, in this order.

Evidence is sealed before an alert can make a delivery. Every step is safe to repeat, so a crash anywhere is
mended by the next call.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from forestall.alerts import actions as alerts
from forestall.alerts.evidence import Reader, list_unsealed, seal_missing
from forestall.findings.actions import apply
from forestall.judge.values import Transition
from forestall.problems.rounds import go_round
from forestall.tickets.following import follow_alerts

MEND_EVERY = timedelta(minutes=1)


class Road:
    """Applies what was judged. `reader` is where evidence comes from."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._mended_at: datetime | None = None

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
            go_round(now=now, also=telling)

    def tick(self, *, now: datetime) -> None:
        """What only time decides: group waits, windows, repeats, tickets of what was told. At the first tick
        after a start, and then every MEND_EVERY, also what a crash left undone."""
        if self._mended_at is None or now - self._mended_at >= MEND_EVERY:
            self._mended_at = now
            self._mend(now)
            go_round(now=now)
        alerts.tick(now=now)
        follow_alerts(now=now)

    def _mend(self, now: datetime) -> None:
        """Findings that were applied when the process ended, and neither sealed nor looked at by alerts: as
        many as `list_unsealed` gives, in the time that `seal_missing` takes for them all."""
        left = list_unsealed()
        if left:
            seal_missing(left, self._reader, now=now)
            alerts.raise_for(left, now=now)
