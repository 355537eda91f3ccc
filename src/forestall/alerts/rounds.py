"""A round of decisions: load the situation, decide, apply everything with its journal entries at once.

Rounds are driven by the watch: after every batch of transitions for the clients whose findings moved, and
once a second for what only time decides (group waits, windows, repeats).
"""

from collections.abc import Collection
from datetime import datetime
from functools import singledispatch
from typing import Any

from django.db import transaction

from forestall.alerts import telling
from forestall.alerts.decide import decide
from forestall.alerts.loading import load_situation
from forestall.alerts.models import Alert
from forestall.alerts.values import (
    Change,
    Explained,
    Hushed,
    Opened,
    Recovered,
    Reopened,
    Reshaped,
    Round,
    Told,
    Unhushed,
)
from forestall.estate.models import Client
from forestall.findings.gate import every
from forestall.journal.actions import append
from forestall.judge.values import State

TITLE_MAX_CHARS = 300
ROUNDS_MOST = 6
MEMBERS: Any = Alert.findings.through


def run_round(*, now: datetime, clients: Collection[str] | None = None) -> Round:
    """Decide and apply what is due for these clients (None: for all) until nothing more is, at most
    ROUNDS_MOST times. Nothing is written when nothing is due."""
    done = Round()
    for _ in range(ROUNDS_MOST):
        if not decide(load_situation(now=now, clients=clients)):
            break
        with transaction.atomic():
            list(every(Client).select_for_update().filter(pk__in=clients or []).values_list("pk"))
            for change in decide(load_situation(now=now, clients=clients)):
                _apply(change, now, done)
    return done


@singledispatch
def _apply(change: Change, now: datetime, done: Round) -> None:
    raise TypeError(f"{change!r} is not a change of an alert")


@_apply.register
def _opened(change: Opened, now: datetime, done: Round) -> None:
    group = change.group
    alert = Alert.objects.create(
        client_id=group.client,
        asset_id=group.root,
        cause_key=group.cause_key,
        state="waiting",
        severity=group.severity.value,
        concern=group.severity.concern,
        title=change.title[:TITLE_MAX_CHARS],
        reason=change.reason,
        opened_at=now,
        tell_at=change.tell_at,
    )
    _join(alert, [finding.id for finding in group.findings])
    done.opened.append(alert.pk)
    _journal("alert.opened", alert, now, {"why_one": group.why, "findings": _some(group.findings)})


@_apply.register
def _reopened(change: Reopened, now: datetime, done: Round) -> None:
    group = change.group
    alert = every(Alert).select_for_update().get(pk=change.alert)
    alert.occurrence += 1
    alert.recovered_at = None
    alert.told_at = alert.last_told_at = alert.acknowledged_at = alert.explained_by = None
    alert.acknowledged_by = ""
    alert.repeats = 0
    alert.severity, alert.concern = group.severity.value, group.severity.concern
    alert.title, alert.reason = change.title[:TITLE_MAX_CHARS], change.reason
    alert.tell_at = change.tell_at
    _join(alert, [finding.id for finding in group.findings])
    _save(alert)
    done.opened.append(alert.pk)
    _journal("alert.opened", alert, now, {"occurrence": alert.occurrence, "findings": _some(group.findings)})


@_apply.register
def _reshaped(change: Reshaped, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().select_related("client", "asset").get(pk=change.alert)
    alert.cause_key = change.cause_key
    alert.asset_id = change.root
    alert.title, alert.reason = change.title[:TITLE_MAX_CHARS], change.reason
    alert.severity, alert.concern = change.severity.value, change.severity.concern
    if change.joined:
        _join(alert, change.joined)
    if change.left:
        MEMBERS.objects.filter(alert=alert, finding__in=change.left).delete()
    _save(alert)
    done.changed.append(alert.pk)
    _journal(
        "alert.changed",
        alert,
        now,
        {
            "joined": list(change.joined[:50]),
            "left": list(change.left[:50]),
            "larger_cause": change.larger_cause,
        },
    )
    if change.larger_cause:
        telling.tell(alert, "cause", now=now, number=_next_number(alert, "cause"))
    elif change.worse:
        telling.tell(alert, "worse", now=now, number=change.severity.concern)
    elif change.more:
        telling.tell(alert, "more", now=now, number=_next_number(alert, "more"))


@_apply.register
def _hushed(change: Hushed, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().get(pk=change.alert)
    alert.quiet_because = change.because
    _save(alert)
    done.changed.append(alert.pk)
    _journal("alert.changed", alert, now, {"quiet_because": change.because})


@_apply.register
def _unhushed(change: Unhushed, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().get(pk=change.alert)
    alert.quiet_because = ""
    alert.tell_at = change.tell_at
    if alert.told_at is None:
        alert.reason = f"{alert.reason}\n{change.reason}"
    _save(alert)
    done.changed.append(alert.pk)
    _journal("alert.changed", alert, now, {"quiet_because": ""})


@_apply.register
def _explained(change: Explained, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().get(pk=change.alert)
    alert.explained_by_id = change.by
    _save(alert)
    done.changed.append(alert.pk)
    _journal("alert.changed", alert, now, {"explained_by": change.by or ""})


@_apply.register
def _told(change: Told, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().select_related("client", "asset").get(pk=change.alert)
    if alert.acknowledged_at is not None or alert.recovered_at is not None:
        return  # somebody was faster
    if change.step == "opened":
        alert.told_at = now
    else:
        alert.repeats += 1
    alert.last_told_at = now
    _save(alert)
    telling.tell(alert, change.step, now=now, number=alert.repeats if change.step == "repeat" else 0)
    done.told.append(alert.pk)


@_apply.register
def _recovered(change: Recovered, now: datetime, done: Round) -> None:
    alert = every(Alert).select_for_update().select_related("client", "asset").get(pk=change.alert)
    alert.recovered_at = now
    alert.quiet_because = ""
    alert.explained_by = None
    alert.state = "folded" if change.into else "recovered"
    alert.save()
    if change.into:
        alert.findings.clear()
    done.recovered.append(alert.pk)
    if change.tell:
        telling.tell(alert, "recovered", now=now)
    else:
        _journal("alert.recovered", alert, now, {"told": False, "into": change.into})


def state_of(alert: Alert) -> str:
    """The state that an alert's fields say: recovered, muted, acknowledged, open or waiting."""
    if alert.recovered_at is not None:
        return alert.state if alert.state == "folded" else "recovered"
    if alert.quiet_because:
        return "muted"
    if alert.acknowledged_at is not None:
        return "acknowledged"
    return "open" if alert.told_at is not None else "waiting"


def _join(alert: Alert, findings: Collection[str]) -> None:
    MEMBERS.objects.bulk_create(
        [MEMBERS(alert_id=alert.pk, finding_id=finding) for finding in findings], ignore_conflicts=True
    )


def _save(alert: Alert) -> None:
    alert.state = state_of(alert)
    alert.save()


def _next_number(alert: Alert, step: str) -> int:
    return 1 + len(
        set(
            alert.deliveries.filter(step__startswith=f"{step}-", occurrence=alert.occurrence).values_list(
                "step", flat=True
            )
        )
    )


def _some(findings: Any) -> list[str]:
    return [finding.id for finding in findings[:50]]


def _journal(kind: str, alert: Alert, now: datetime, more: dict[str, Any]) -> None:
    append(
        kind,
        client=alert.client_id,
        subject=alert.pk,
        actor=telling.ACTOR,
        at=now,
        body={
            "cause_key": alert.cause_key,
            "state": alert.state,
            "severity": State(alert.severity).value,
            "title": alert.title,
            **more,
        },
    )
