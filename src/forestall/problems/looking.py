"""What the telemetry tells of the time around an onset: log templates that are new or stopped, and the series
that left their course first. A loop of the watch role asks; the ranking of suspects takes the answers.

The store is asked once SETTLED behind an onset and once more when LATE is over, for what came late.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import F, Q

from forestall.configs.models import Change
from forestall.estate.models import Asset
from forestall.findings.gate import every
from forestall.judge.suspects import Deviation, Shift
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import to_number
from forestall.kernel.templates import Templates
from forestall.problems.models import Occurrence, Suspects
from forestall.problems.suspecting import keep_found, suspect
from forestall.telemetry.client import Store
from forestall.telemetry.courses import left_their_course
from forestall.telemetry.messages import compare, learn_templates
from forestall.telemetry.scope import Clients, clients_of

SETTLED = timedelta(seconds=20)
LATE = timedelta(minutes=10)
WITHIN = timedelta(hours=24)  # of an onset; what is older stays as it was ranked
BEFORE = timedelta(hours=2)  # of an onset, in which a new template or a series is about it
USUAL = timedelta(hours=24)  # before that: how it is else
SYMPTOM = timedelta(seconds=60)  # a series that leaves its course so shortly before is the trouble itself
ASSETS_MOST = 6
SHIFTS_MOST = 20  # of an asset, the first
DEVIATIONS_MOST = 10
VANISHED_LEAST = 10  # lines before, so that a template is missed
ONSETS_MOST = 10  # of a round


def look_around(store: Store, *, now: datetime) -> int:
    """Ask the store about the onsets that nobody asked it about, and rank their suspects again; how many.

    Raises as Store.select; what was asked by then is kept.
    """
    late = Q(looked_at__lt=F("onset_at") + LATE, onset_at__lt=now - LATE)
    due = (
        every(Suspects)
        .filter(Q(looked_at=None) | late, onset_at__gt=now - WITHIN, onset_at__lt=now - SETTLED)
        .select_related("problem")
        .order_by("onset_at")[:ONSETS_MOST]
    )
    learned: dict[str, Templates] = {}
    for row in due:
        occurrence = every(Occurrence).filter(problem=row.problem_id, at=row.onset_at).first()
        if occurrence is None or occurrence.asset_id is None:
            keep_found(row, shifts=[], deviations=[], now=now)
            continue
        clients = clients_of([row.client_id])
        if row.client_id not in learned:
            learned[row.client_id] = learn_templates(store, clients)
        shifts: list[Shift] = []
        deviations: list[Deviation] = []
        for asset in _near(row, occurrence.asset_id):
            shifts += _shifts(store, clients, asset, learned[row.client_id], row.onset_at)
            deviations += _deviations(store, clients, asset, row.onset_at)
        keep_found(row, shifts=shifts, deviations=deviations, now=now)
        suspect(row.problem, occurrence, now=now)
    return len(due)


def _near(row: Suspects, asset: str) -> list[str]:
    """The asset, what it hangs on, and where the first suspects are."""
    parent = every(Asset).filter(pk=asset).values_list("parent", flat=True).first()
    suspected = every(Change).filter(pk__in=[one["id"] for one in row.ranked]).values_list("asset", flat=True)
    found = dict.fromkeys([asset, *([parent] if parent else []), *suspected])
    return list(found)[:ASSETS_MOST]


def _shifts(store: Store, clients: Clients, asset: str, templates: Templates, onset: datetime) -> list[Shift]:
    told = compare(
        store,
        clients,
        asset=to_number(asset),
        templates=templates,
        from_ms=to_ms(onset - BEFORE - USUAL),
        at_ms=to_ms(onset - BEFORE),
        to_ms=to_ms(onset + LATE),
    )
    new = sorted(told.new, key=lambda one: (one.first_ms, one.fingerprint))[:SHIFTS_MOST]
    gone = [one for one in told.vanished if one.count >= VANISHED_LEAST][:SHIFTS_MOST]
    return [Shift(asset, one.text[:300], one.first_ms) for one in new] + [
        Shift(asset, one.text[:300], one.last_ms, new=False) for one in gone
    ]


def _deviations(store: Store, clients: Clients, asset: str, onset: datetime) -> list[Deviation]:
    found = left_their_course(
        store,
        clients,
        asset=to_number(asset),
        from_ms=to_ms(onset - BEFORE - USUAL),
        at_ms=to_ms(onset - BEFORE),
        to_ms=to_ms(onset - SYMPTOM),
    )
    made = [Deviation(asset, f"{one.metric} {one.item}".strip(), one.at_ms, one.size) for one in found]
    return [replace(one, size=min(one.size, 99.0)) for one in made][:DEVIATIONS_MOST]
