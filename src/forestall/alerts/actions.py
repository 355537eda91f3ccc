"""Writes of alerts: what people do (acknowledge, windows) and the entrances for the watch.

Channels are in `channels.py`, the decisions in `decide.py`, their application in `rounds.py`.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from forestall.alerts.loading import is_due
from forestall.alerts.models import Alert, Window
from forestall.alerts.rounds import run_round, state_of
from forestall.alerts.values import Round
from forestall.estate.models import Asset, Client, Site
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.findings.models import Finding
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble


def raise_for(findings: Iterable[Finding], *, now: datetime) -> Round:
    """Decide for the clients of these findings (opened, changed or ended); seal their evidence before."""
    clients = sorted({finding.client_id for finding in findings})
    return run_round(now=now, clients=clients) if clients else Round()


def tick(*, now: datetime) -> Round:
    """Decide what only time decides: group waits, repeats, ends of windows. Call it every second."""
    return run_round(now=now) if is_due(now=now) else Round()


def acknowledge_alert(scope: Scope, alert: str, *, now: datetime, note: str = "") -> Alert:
    """Somebody looks after it: reminders stop. A second acknowledgement changes nothing.

    Raises Alert.DoesNotExist for what the scope does not see, Trouble when it is over.
    """
    with transaction.atomic():
        row = seen(Alert, scope).select_for_update(of=("self",)).get(pk=alert)
        if row.recovered_at is not None:
            raise Trouble("this alert is over", "There is nothing to acknowledge any more.")
        if row.acknowledged_at is not None:
            return row
        row.acknowledged_at = now
        row.acknowledged_by = scope.actor[:160]
        row.state = state_of(row)
        row.save(update_fields=["acknowledged_at", "acknowledged_by", "state"])
        append(
            "alert.acknowledged",
            client=row.client_id,
            subject=row.pk,
            actor=scope.actor,
            at=now,
            body={"title": row.title, "cause_key": row.cause_key, "note": note[:1000]},
        )
    return row


def open_window(
    scope: Scope,
    *,
    client: str,
    title: str,
    starts_at: datetime,
    ends_at: datetime,
    site: str | None = None,
    asset: str | None = None,
    now: datetime,
) -> Window:
    """Plan maintenance of a client, a site or an asset (with all that hangs on it).

    Raises DoesNotExist for what the scope does not see, Trouble when the times or the title make no sense.
    """
    if ends_at <= starts_at or ends_at <= now:
        raise Trouble("a window ends after it begins, and not in the past", "Correct its times.")
    if not title.strip():
        raise Trouble("a window needs a title", "Write what is done in it.")
    Client.objects.all().of(scope).get(pk=client)
    if site is not None:
        seen(Site, scope).get(pk=site, client_id=client)
    if asset is not None:
        seen(Asset, scope).get(pk=asset, client_id=client)
    with transaction.atomic():
        window = Window.objects.create(
            client_id=client,
            site_id=site,
            asset_id=asset,
            title=title.strip()[:160],
            starts_at=starts_at,
            ends_at=ends_at,
            made_by=scope.actor[:160],
        )
        _journal_window("window.opened", window, scope, now)
    return window


def close_window(scope: Scope, window: str, *, now: datetime) -> None:
    """End a window now; one that has not begun is removed. What is still wrong is told then.

    Raises Window.DoesNotExist for what the scope does not see, Trouble when it is over already.
    """
    with transaction.atomic():
        row = seen(Window, scope).select_for_update(of=("self",)).get(pk=window)
        if row.ends_at <= now:
            raise Trouble("this window is over already", "There is nothing to close.")
        if row.starts_at >= now:
            _journal_window("window.removed", row, scope, now)
            row.delete()
            return
        row.ends_at = now
        row.save(update_fields=["ends_at"])
        _journal_window("window.closed", row, scope, now)


def _journal_window(kind: str, window: Window, scope: Scope, now: datetime) -> None:
    append(
        kind,
        client=window.client_id,
        subject=window.pk,
        actor=scope.actor,
        at=now,
        body={
            "title": window.title,
            "site": window.site_id,
            "asset": window.asset_id,
            "starts_at": window.starts_at.isoformat(),
            "ends_at": window.ends_at.isoformat(),
        },
    )
