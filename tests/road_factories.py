"""Transitions and readers for tests of the road from the judge to a person."""

from datetime import datetime, timedelta
from typing import Any

from estate_factories import EVERYTHING, START
from forestall.alerts.actions import raise_for, tick
from forestall.alerts.channels import create_channel
from forestall.alerts.evidence import seal_missing
from forestall.alerts.models import Channel
from forestall.alerts.values import Message, Round, SendFailed
from forestall.estate.models import Asset
from forestall.findings.actions import Applied, apply
from forestall.findings.models import Finding
from forestall.judge.values import State, Transition
from forestall.kernel.clock import to_ms
from forestall.tickets.actions import follow_alerts


def transition(
    asset: Asset,
    to: State = State.BREAKING,
    *,
    rule: str = "probe-fails",
    item: str = "",
    at: datetime = START,
    began: datetime | None = None,
    was: State = State.IN_SPEC,
    **fields: Any,
) -> Transition:
    """A transition as the judge gives it."""
    return Transition(
        client=asset.client_id,
        asset=asset.pk,
        rule=rule,
        item=item,
        pack="linux-server",
        pack_version="1",
        was=was,
        to=to,
        began_at_ms=to_ms(began or at),
        at_ms=to_ms(at),
        metric=fields.pop("metric", "probe.up"),
        reason=fields.pop("reason", f"{asset.name} does not answer. It was asked 3 times."),
        why="People cannot work.",
        first_step=fields.pop("first_step", "Look whether it has power."),
        numbers=fields.pop("numbers", {"probe.up": 0.0}),
        **fields,
    )


class Sources:
    """Evidence sources that answer from memory; `broken` names those that fail."""

    def __init__(self, *broken: str) -> None:
        self._broken = broken

    def _answer(self, name: str, value: Any) -> Any:
        if name in self._broken:
            raise ConnectionError(f"the store does not answer ({name})")
        return value

    def series(self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float) -> Any:
        return self._answer("series", [{"metric": finding.metric, "t": [to_ms(from_at)], "mean": [0.0]}])

    def log_lines(self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float) -> Any:
        return self._answer("log_lines", [{"at": from_at.isoformat(), "message": "nginx: exiting"}])

    def snapshots(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> Any:
        return self._answer("snapshots", [{"kind": "sshd_config", "text": "PermitRootLogin no\n"}])

    def changes(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> Any:
        return self._answer("changes", [])

    def pack(self, finding: Finding, *, timeout_s: float) -> Any:
        return self._answer("pack", {"name": finding.pack, "version": "1", "text": "rules: []\n"})


class Road:
    """The road with a clock that is moved by hand: judge's transitions in, rows out."""

    def __init__(self) -> None:
        self.now = START
        self.round = Round()

    def feed(self, *transitions: Transition) -> Applied:
        """Everything that the watch does with what the judge gave."""
        applied = apply(transitions, now=self.now)
        moved = [*applied.opened, *applied.changed, *applied.ended]
        seal_missing([f for f in moved if f.tells and f.ended_at is None], Sources(), now=self.now)
        self.round = raise_for(moved, now=self.now)
        follow_alerts(now=self.now)
        return applied

    def wait(self, seconds: float) -> Round:
        """Move the clock, and decide what time decides."""
        self.now += timedelta(seconds=seconds)
        self.round = tick(now=self.now)
        follow_alerts(now=self.now)
        return self.round


class Post:
    """A notifier that keeps what was sent, or fails while `down`."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.down = False
        self.permanent = False

    def __call__(self, notifier: str, settings: Any, message: Message) -> None:
        if self.down:
            raise SendFailed("the line is dead", permanent=self.permanent)
        self.sent.append(message)

    @property
    def steps(self) -> list[str]:
        return [message.step for message in self.sent]


def make_channel(title: str = "On call", **fields: Any) -> Channel:
    """A webhook for all clients."""
    return create_channel(
        EVERYTHING,
        notifier="webhook",
        title=title,
        given={"url": "http://127.0.0.1:9/", "secret": "shared", "allow_private": True, **fields},
        now=START,
    )
