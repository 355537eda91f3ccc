"""Writes of findings: what the judge decided becomes rows and journal entries, exactly once; overrides.

Stands between the judge (pure) and the alerts. A replay of transitions after a crash changes nothing:
every applied transition leaves a Step whose key is its identity.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from forestall.estate.models import Asset, Site
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.findings.models import OPEN, Finding, Override, Step
from forestall.journal.actions import append
from forestall.judge.overrides import check_override
from forestall.judge.rules import Book
from forestall.judge.values import State, Transition
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble

ACTOR = "forestall:judge"
REASON_MAX_CHARS = 4000
ANSWER_MAX_CHARS = 65_536
ONE_TRANSACTION_MOST = 500  # transitions; a larger batch is applied in several, each whole
CHUNK = 400


@dataclass(slots=True)
class Applied:
    """What `apply` did. `skipped` counts replays and transitions of assets that are gone."""

    opened: list[Finding] = field(default_factory=list)
    changed: list[Finding] = field(default_factory=list)
    ended: list[Finding] = field(default_factory=list)
    skipped: int = 0

    @property
    def clients(self) -> set[str]:
        """The clients whose findings moved."""
        return {finding.client_id for finding in (*self.opened, *self.changed, *self.ended)}


def apply(transitions: Sequence[Transition], *, now: datetime) -> Applied:
    """Turn transitions into findings, with their journal entries in the same transaction.

    Safe to repeat: a transition that was applied before is skipped. Transitions of one place must come
    in their order.
    """
    applied = Applied()
    for start in range(0, len(transitions), ONE_TRANSACTION_MOST):
        with transaction.atomic():
            _apply_chunk(transitions[start : start + ONE_TRANSACTION_MOST], applied, now)
    return applied


def identity(transition: Transition) -> str:
    """The SHA-256 of what makes a transition unique (64 hexadecimal digits)."""
    return hashlib.sha256(
        f"{transition.place}\n{transition.at_ms}\n{transition.to}".encode(errors="replace")
    ).hexdigest()


def end_of_archived(*, now: datetime) -> list[Finding]:
    """End the open findings of assets that were archived: nobody watches these any more."""
    with transaction.atomic():
        gone = list(
            every(Finding)
            .select_for_update(of=("self",))
            .select_related("asset")
            .filter(OPEN, asset__archived_at__isnull=False)[:ONE_TRANSACTION_MOST]
        )
        for finding in gone:
            _end(finding, f"{finding.asset.name} was archived.", now, now)
    return gone


def _apply_chunk(transitions: Sequence[Transition], applied: Applied, now: datetime) -> None:
    keys = [identity(transition) for transition in transitions]
    known = _known(keys)
    places = sorted({transition.asset for transition in transitions})
    owners = _owners(places)
    open_ones = _open_findings(places)
    for key, transition in zip(keys, transitions, strict=True):
        if key in known or owners.get(transition.asset) != transition.client:
            applied.skipped += 1
            continue
        known.add(key)
        place = (transition.asset, transition.rule, transition.item)
        finding = open_ones.get(place)
        if transition.to is State.IN_SPEC:
            if finding is None:
                applied.skipped += 1
                continue
            _end(finding, transition.reason, from_ms(transition.at_ms), now)
            del open_ones[place]
            applied.ended.append(finding)
        elif finding is None:
            finding = _open(transition, now)
            open_ones[place] = finding
            applied.opened.append(finding)
        else:
            _change(finding, transition, now)
            if finding not in applied.opened and finding not in applied.changed:
                applied.changed.append(finding)
        Step.objects.create(
            client_id=finding.client_id,
            finding=finding,
            key=key,
            state=transition.to.value,
            at=from_ms(transition.at_ms),
            reason=_text(transition.reason),
        )


def _known(keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        found.update(every(Step).filter(key__in=keys[start : start + CHUNK]).values_list("key", flat=True))
    return found


def _owners(assets: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(assets), CHUNK):
        rows = every(Asset).filter(pk__in=assets[start : start + CHUNK], archived_at=None)
        found.update(rows.values_list("pk", "client_id"))
    return found


def _open_findings(assets: Sequence[str]) -> dict[tuple[str, str, str], Finding]:
    found: dict[tuple[str, str, str], Finding] = {}
    for start in range(0, len(assets), CHUNK):
        rows = every(Finding).select_for_update().filter(OPEN, asset__in=assets[start : start + CHUNK])
        found.update({(row.asset_id, row.rule, row.item): row for row in rows})
    return found


def _open(transition: Transition, now: datetime) -> Finding:
    """A new finding; the row of an ended one that began at the same instant is opened again."""
    began_at = from_ms(transition.began_at_ms)
    finding = (
        every(Finding)
        .filter(asset_id=transition.asset, rule=transition.rule, item=transition.item, began_at=began_at)
        .first()
    )
    again = finding is not None
    if finding is None:
        finding = Finding(
            client_id=transition.client,
            asset_id=transition.asset,
            rule=transition.rule,
            item=transition.item,
            began_at=began_at,
            worst=transition.to.value,
        )
    finding.opened_at = now
    finding.ended_at = None
    finding.recovery = ""
    _fill(finding, transition)
    finding.save(force_insert=not again)
    _journal("finding.opened", finding, now, {"again": True} if again else {})
    return finding


def _change(finding: Finding, transition: Transition, now: datetime) -> None:
    was = finding.state
    _fill(finding, transition)
    finding.save()
    _journal("finding.changed", finding, now, {"was": was})


def _end(finding: Finding, reason: str, at: datetime, now: datetime) -> None:
    finding.ended_at = max(at, finding.began_at)
    finding.changed_at = finding.ended_at
    finding.recovery = _text(reason)
    finding.save(update_fields=["ended_at", "changed_at", "recovery"])
    _journal("finding.ended", finding, now, {"recovery": finding.recovery, "worst": finding.worst})


def _fill(finding: Finding, transition: Transition) -> None:
    finding.pack = transition.pack
    finding.pack_version = transition.pack_version
    finding.metric = transition.metric
    finding.state = transition.to.value
    finding.worst = max(State(finding.worst), transition.to, key=lambda state: state.concern).value
    finding.concern = transition.to.concern
    finding.cause = transition.cause
    finding.tells = transition.tells
    finding.changed_at = from_ms(transition.at_ms)
    finding.reason = _text(transition.reason)
    finding.why = _text(transition.why)
    finding.first_step = _text(transition.first_step)
    finding.numbers = {
        name: value if math.isfinite(value) else None for name, value in sorted(transition.numbers.items())
    }
    finding.answer = _text(transition.answer, ANSWER_MAX_CHARS)


def _text(text: str, most: int = REASON_MAX_CHARS) -> str:
    """Without what a database cannot hold (NUL, lone surrogates), cut to a limit."""
    clean = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _journal(kind: str, finding: Finding, now: datetime, more: dict[str, Any]) -> None:
    append(
        kind,
        client=finding.client_id,
        subject=finding.pk,
        actor=ACTOR,
        at=now,
        body={
            "asset": finding.asset_id,
            "rule": finding.rule,
            "item": finding.item,
            "pack": finding.pack,
            "pack_version": finding.pack_version,
            "state": finding.state,
            "began_at": finding.began_at.isoformat(),
            "reason": finding.reason,
            "numbers": finding.numbers,
            **more,
        },
    )


def override_rule(
    scope: Scope,
    rule: str,
    *,
    client: str,
    site: str | None = None,
    asset: str | None = None,
    settings: dict[str, Any],
    because: str,
    now: datetime,
    book: Book | None = None,
) -> Override:
    """Give a rule other settings at a client, a site or an asset (give one of the two, or none); a second
    override at the same place replaces the first. `{"off": true}` silences the rule there. With `book` the
    settings are checked against its rules of that name.

    Raises Asset.DoesNotExist or Site.DoesNotExist for what the scope does not see, Trouble without a
    reason or with settings that the rule cannot have.
    """
    if not because.strip():
        raise Trouble("an override needs a reason", "Write why this place is different; it is kept.")
    if not rule.strip():
        raise Trouble("an override needs the name of a rule", "Take it from the page of specs.")
    if book is not None:
        check_override(book, rule, settings)
    if site and asset:
        raise Trouble("an override stands at a site or at an asset, not at both", "Choose one.")
    if not scope.sees(client):
        raise Asset.DoesNotExist
    if asset is not None:
        seen(Asset, scope).get(pk=asset, client_id=client)
    if site is not None:
        seen(Site, scope).get(pk=site, client_id=client)
    with transaction.atomic():
        override, _ = Override.objects.update_or_create(
            client_id=client,
            site_id=site,
            asset_id=asset,
            rule=rule,
            defaults={
                "settings": settings,
                "because": because.strip()[:300],
                "made_by": scope.actor,
                "made_at": now,
            },
        )
        _journal_override(override, scope, now, {"settings": settings, "because": override.because})
    return override


def remove_override(scope: Scope, override: str, *, now: datetime) -> None:
    """The rule is as the pack says again. Raises Override.DoesNotExist for what the scope does not see."""
    with transaction.atomic():
        row = seen(Override, scope).select_for_update().get(pk=override)
        _journal_override(row, scope, now, {"removed": True})
        row.delete()


def _journal_override(override: Override, scope: Scope, now: datetime, more: dict[str, Any]) -> None:
    append(
        "spec.overridden",
        client=override.client_id,
        subject=override.pk,
        actor=scope.actor,
        at=now,
        body={"rule": override.rule, "site": override.site_id, "asset": override.asset_id, **more},
    )
