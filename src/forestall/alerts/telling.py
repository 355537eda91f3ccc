"""Rows of the ledger: one delivery per alert, step and channel, with the message as it will be sent.

Written in the transaction that decides to tell, after the evidence of every finding of the alert was sealed.
"""

from datetime import datetime

import msgspec
from django.conf import settings
from django.db.models import Q

from forestall.alerts import wording
from forestall.alerts.evidence import NoReader, seal_missing
from forestall.alerts.models import Alert, Channel, Delivery, Evidence
from forestall.alerts.values import Message, step_name
from forestall.findings.gate import every
from forestall.findings.models import Finding
from forestall.journal.actions import append
from forestall.judge.values import State

ACTOR = "forestall:alerts"
FINDINGS_MOST = 2000
REACHED = Q(state__in=["due", "sent"])


def tell(alert: Alert, step: str, *, now: datetime, number: int = 0) -> int:
    """Enter the step into the ledger for every channel that is to hear of it; gives how many.

    `step` is opened, worse, cause, more, repeat or recovered. A step that stands there already is left
    alone, so that a repetition tells nobody twice. A recovery goes to the channels that were told of
    this occurrence.
    """
    findings = members(alert)
    live = [finding for finding in findings if finding.ended_at is None]
    since = alert.told_at or alert.opened_at
    shown = (
        live if step != "recovered" else [f for f in findings if f.ended_at is None or f.ended_at >= since]
    )
    if step != "recovered":
        seal_missing(live, NoReader("the sources were not asked in time"), now=now)
    evidence = list(
        every(Evidence).filter(finding__in=findings).order_by("sealed_at", "pk").values_list("pk", flat=True)
    )
    name = step_name(step, alert.occurrence, number)
    channels = _channels(alert, step, name)
    for channel in channels:
        delivery = Delivery(
            client_id=alert.client_id,
            alert=alert,
            channel=channel,
            step=name,
            occurrence=alert.occurrence,
            made_at=now,
            due_at=now,
        )
        message = _message(alert, step, shown or findings, evidence, key=delivery.pk, now=now, number=number)
        delivery.message = msgspec.to_builtins(message)
        delivery.save(force_insert=True)
    append(
        "alert.recovered" if step == "recovered" else "alert.told",
        client=alert.client_id,
        subject=alert.pk,
        actor=ACTOR,
        at=now,
        body={
            "step": name,
            "title": alert.title,
            "cause_key": alert.cause_key,
            "severity": alert.severity,
            "channels": [channel.pk for channel in channels],
            "evidence": evidence[:50],
            "told": True,
        },
    )
    return len(channels)


def alert_url(alert: str) -> str:
    """Where people open the alert."""
    return f"{settings.CONFIG.url.rstrip('/')}/alerts/{alert}"


def _channels(alert: Alert, step: str, name: str) -> list[Channel]:
    rows = every(Channel).filter(Q(client=None) | Q(client=alert.client_id), enabled=True)
    if step == "recovered":
        told = every(Delivery).filter(REACHED, alert=alert, occurrence=alert.occurrence)
        rows = every(Channel).filter(pk__in=told.values("channel"))
    entered = every(Delivery).filter(alert=alert, step=name)
    return list(rows.exclude(pk__in=entered.values("channel")).order_by("pk"))


def _message(
    alert: Alert,
    step: str,
    findings: list[Finding],
    evidence: list[str],
    *,
    key: str,
    now: datetime,
    number: int,
) -> Message:
    began_at = min((finding.began_at for finding in findings), default=alert.opened_at)
    first_step = next((finding.first_step for finding in findings if finding.first_step), "")
    reason = _recovery(findings) if step == "recovered" else alert.reason
    plain = Message(
        id=key,
        thread=alert.pk,
        step=step,
        severity=alert.severity,
        client=alert.client.name,
        asset=alert.asset.name,
        title=alert.title,
        reason=reason,
        subject=wording.subject_of(step, State(alert.severity), alert.title, alert.client.name),
        text="",
        url=alert_url(alert.pk),
        first_step=first_step,
        evidence=evidence[:50],
        alerts=[alert.pk],
        at=now.isoformat(),
    )
    opening = wording.opening_of(
        step,
        began_at=began_at,
        now=now,
        acknowledged=alert.acknowledged_at is not None,
        repeats=number,
    )
    return msgspec.structs.replace(plain, text=wording.text_of(plain, opening=opening))


def _recovery(findings: list[Finding]) -> str:
    """What ended each finding, in the judge's words."""
    lines = [
        finding.recovery or f"{finding.rule}: {finding.state}" for finding in findings[: wording.LINES_MOST]
    ]
    if len(findings) > len(lines):
        lines.append(f"… and {len(findings) - len(lines)} more.")
    return "\n".join(lines)


def members(alert: Alert) -> list[Finding]:
    """The alert's findings, worst first."""
    rows = every(Finding).filter(alerts=alert).select_related("asset", "client")
    return list(rows.order_by("-concern", "opened_at", "pk")[:FINDINGS_MOST])
