"""Gathers what is known around an onset, ranks the suspects and keeps the list as it was then."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from forestall.configs.models import Change
from forestall.estate.models import Asset
from forestall.findings.gate import every
from forestall.findings.models import Finding
from forestall.judge.suspects import (
    WITHIN_MS,
    Candidate,
    Deviation,
    Saturation,
    Scene,
    Shift,
    count_rates,
    rank_suspects,
)
from forestall.judge.values import State
from forestall.kernel.clock import to_ms
from forestall.problems.models import Occurrence, Problem, Suspects

HISTORY = timedelta(days=60)  # of changes, for base rates
CHANGES_MOST = 5_000
ASSETS_MOST = 2_000
FINDINGS_MOST = 200
SUSPECTS_MOST = 10
FULL = 0.95  # share of a resource in use, from which it is saturated


def suspect(problem: Problem, occurrence: Occurrence, *, now: datetime) -> Suspects | None:
    """Rank the changes before an onset; None for an occurrence without an asset. Safe to repeat."""
    if occurrence.asset_id is None:
        return None
    onset = occurrence.at
    before = every(Suspects).filter(problem=problem, onset_at=onset).values_list("found", flat=True).first()
    ranked = rank_suspects(_scene(problem, occurrence, before or {}), most=SUSPECTS_MOST)
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "asset": one.asset,
            "title": one.title,
            "share": round(one.share, 4),
            "evidence": list(one.evidence),
        }
        for one in ranked
    ]
    made, _ = Suspects.objects.update_or_create(
        problem=problem,
        onset_at=onset,
        defaults={"client_id": problem.client_id, "ranked_at": now, "ranked": rows},
    )
    return made


def keep_found(row: Suspects, *, shifts: list[Shift], deviations: list[Deviation], now: datetime) -> None:
    """What log lines and series told of the time around an onset; the ranking takes it from now on."""
    row.found = {"shifts": [asdict(one) for one in shifts], "deviations": [asdict(one) for one in deviations]}
    row.looked_at = now
    row.save(update_fields=["found", "looked_at"])


def _scene(problem: Problem, occurrence: Occurrence, found: dict[str, list[dict[str, Any]]]) -> Scene:
    onset = occurrence.at
    assets = list(
        every(Asset)
        .filter(client=problem.client_id)
        .order_by("pk")
        .values_list("pk", "name", "parent_id")[:ASSETS_MOST]
    )
    changes = [
        Candidate(
            id=one.pk,
            asset=one.asset_id,
            kind=one.kind,
            title=one.title or one.kind,
            after_ms=to_ms(one.after_at),
            at_ms=to_ms(one.at),
            words=f"{one.kind} {one.title} {one.summary}",
        )
        for one in every(Change)
        .filter(client=problem.client_id, after_at__lte=onset, at__gt=onset - HISTORY)
        .order_by("-at", "-pk")[:CHANGES_MOST]
    ]
    onsets = [
        to_ms(at)
        for at in every(Occurrence)
        .filter(problem=problem, episode=True, at__lte=onset, at__gt=onset - HISTORY)
        .values_list("at", flat=True)
    ] or [to_ms(onset)]
    deviations, full = _around(problem, occurrence)
    return Scene(
        asset=str(occurrence.asset_id),
        onset_ms=to_ms(onset),
        names={pk: name for pk, name, _ in assets},
        parents={pk: parent for pk, _, parent in assets},
        rates=count_rates(changes, onsets, now_ms=to_ms(onset)),
        days=HISTORY.days,
        onsets=len(onsets),
        candidates=changes,
        deviations=[*deviations, *(Deviation(**one) for one in found.get("deviations", ()))],
        shifts=[Shift(**one) for one in found.get("shifts", ())],
        saturations=full,
    )


def _around(problem: Problem, occurrence: Occurrence) -> tuple[list[Deviation], list[Saturation]]:
    """Series that left their course before the onset, and resources at their limit, as findings tell."""
    since = occurrence.at - timedelta(milliseconds=WITHIN_MS)
    rows = (
        every(Finding)
        .filter(client=problem.client_id, began_at__gt=since, began_at__lte=occurrence.at)
        .exclude(pk=occurrence.finding_id or "")
        .exclude(metric="")
        .order_by("-began_at")[:FINDINGS_MOST]
    )
    deviations, full = [], []
    for row in rows:
        at_ms = to_ms(row.began_at)
        share = max((float(n) for n in row.numbers.values() if isinstance(n, int | float)), default=0.0)
        if row.metric.endswith("used_ratio") and FULL <= share <= 1:
            full.append(Saturation(row.asset_id, f"{row.metric} {row.item}".strip(), at_ms, share))
        else:
            size = 3.0 + State(row.worst).concern
            deviations.append(Deviation(row.asset_id, row.metric, at_ms, size))
    return deviations, full
