"""Rows into the value snapshot that `decide.py` looks at: open findings, open alerts, assets, windows."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from forestall.alerts.decide import FLAP_WITHIN, REPEAT_EVERY, REPEATS_MOST
from forestall.alerts.grouping import CHAIN_MOST
from forestall.alerts.models import Alert, Window
from forestall.alerts.values import Place, Quiet, Situation, Standing, Wrong
from forestall.estate.models import Asset
from forestall.findings.gate import every
from forestall.findings.models import OPEN, Finding
from forestall.judge.values import State

CHUNK = 400


def load_situation(*, now: datetime, clients: Collection[str] | None = None) -> Situation:
    """What is to be decided on, for these clients (None: all)."""
    findings = every(Finding).filter(OPEN, tells=True, asset__archived_at=None)
    alerts = every(Alert).filter(Q(recovered_at=None) | Q(recovered_at__gte=now - FLAP_WITHIN))
    windows = every(Window).filter(starts_at__lte=now, ends_at__gt=now)
    if clients is not None:
        findings = findings.filter(client__in=clients)
        alerts = alerts.filter(client__in=clients)
        windows = windows.filter(client__in=clients)
    wrong = {row.pk: _wrong(row) for row in findings.order_by("opened_at", "pk")}
    standing = _standing(alerts.order_by("opened_at", "pk"))
    assets = {finding.asset for finding in wrong.values()} | {alert.asset for alert in standing}
    return Situation(
        now=now,
        findings=wrong,
        alerts=standing,
        places=load_places(assets),
        windows=tuple(
            Quiet(client=w.client_id, site=w.site_id, asset=w.asset_id, title=w.title, ends_at=w.ends_at)
            for w in windows.order_by("ends_at", "pk")
        ),
    )


def is_due(*, now: datetime) -> bool:
    """Whether time alone may have made something due, by a few questions to indexes: a group wait or a
    repeat is over, a window is on or was, a finding has no alert, an alert nothing that is wrong."""
    standing = every(Alert).filter(recovered_at=None)
    waits_over = Q(told_at=None, acknowledged_at=None, tell_at__lte=now)
    repeats = Q(
        acknowledged_at=None,
        explained_by=None,
        concern=State.BREAKING.concern,
        repeats__lt=REPEATS_MOST,
        last_told_at__lte=now - REPEAT_EVERY,
    )
    if standing.filter(~Q(quiet_because="") | waits_over | repeats).exists():
        return True
    if every(Window).filter(starts_at__lte=now, ends_at__gt=now).exists():
        return True
    live = every(Finding).filter(OPEN, tells=True, asset__archived_at=None)
    if live.exclude(Exists(standing.filter(findings=OuterRef("pk")))).exists():
        return True
    return standing.exclude(Exists(live.filter(alerts=OuterRef("pk")))).exists()


def load_places(assets: Iterable[str]) -> dict[str, Place]:
    """These assets and everything that they hang on."""
    found: dict[str, Place] = {}
    wanted = set(assets)
    for _ in range(CHAIN_MOST):
        if not wanted:
            break
        ordered = sorted(wanted)
        for start in range(0, len(ordered), CHUNK):
            for row in every(Asset).filter(pk__in=ordered[start : start + CHUNK]):
                found[row.pk] = Place(
                    id=row.pk, client=row.client_id, name=row.name, site=row.site_id, parent=row.parent_id
                )
        wanted = {place.parent for place in found.values() if place.parent} - found.keys()
    return found


def _standing(rows: Iterable[Alert]) -> tuple[Standing, ...]:
    alerts = list(rows)
    members: dict[str, set[str]] = defaultdict(set)
    places: dict[str, set[tuple[str, str]]] = defaultdict(set)
    keys = [alert.pk for alert in alerts]
    for start in range(0, len(keys), CHUNK):
        through = Alert.findings.through.objects.filter(alert_id__in=keys[start : start + CHUNK])
        columns = ("alert_id", "finding_id", "finding__rule", "finding__item")
        for alert, finding, rule, item in through.values_list(*columns):
            members[alert].add(finding)
            places[alert].add((rule, item))
    return tuple(
        Standing(
            id=alert.pk,
            client=alert.client_id,
            asset=alert.asset_id,
            cause_key=alert.cause_key,
            severity=State(alert.severity),
            title=alert.title,
            reason=alert.reason,
            opened_at=alert.opened_at,
            tell_at=alert.tell_at,
            told_at=alert.told_at,
            last_told_at=alert.last_told_at,
            acknowledged_at=alert.acknowledged_at,
            recovered_at=alert.recovered_at,
            repeats=alert.repeats,
            occurrence=alert.occurrence,
            explained_by=alert.explained_by_id,
            quiet_because=alert.quiet_because,
            findings=frozenset(members[alert.pk]),
            seen=frozenset(places[alert.pk]),
        )
        for alert in alerts
    )


def _wrong(row: Finding) -> Wrong:
    return Wrong(
        id=row.pk,
        client=row.client_id,
        asset=row.asset_id,
        rule=row.rule,
        item=row.item,
        state=State(row.state),
        cause=row.cause,
        opened_at=row.opened_at,
        began_at=row.began_at,
        changed_at=row.changed_at,
        reason=row.reason,
        first_step=row.first_step,
        metric=row.metric,
    )
