"""The judge's side of the pump: the estate as the judge knows it, snapshots, observations, time."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import Q

from forestall.alerts.models import Window
from forestall.configs.actions import store_snapshots
from forestall.estate.credentials import note_uses
from forestall.estate.enrolment import SERVER
from forestall.estate.models import Asset, Collector, Probe, Tag
from forestall.estate.tenancy import system_scope
from forestall.findings.models import OPEN, Finding
from forestall.findings.queries import load_overrides
from forestall.intake.decode import Decoded, PlacedSnapshot
from forestall.intake.heartbeat_models import Heartbeat
from forestall.intake.values import TryAgain
from forestall.judge.judge import Judge
from forestall.judge.values import (
    Expected,
    JudgedAsset,
    JudgedCapture,
    JudgedChange,
    JudgedOutcome,
    OpenFinding,
    State,
    Transition,
)
from forestall.kernel.clock import Clock, from_ms, to_ms
from forestall.kernel.columns import SampleColumns
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.kernel.observations import Sample
from forestall.networks.actions import PlacedSweep, take_sweeps
from forestall.processes.judging_backups import PlansToJudge
from forestall.processes.judging_texts import TextsToJudge
from forestall.processes.noticing import Noticing
from forestall.processes.road import Road

ESTATE_EVERY_MS = 5_000
AGENT_EVERY_MS = 30_000  # an agent sends every two seconds, its own numbers every thirty
JOBS = (("checkpoint", 60_000), ("retention", 86_400_000))
OWN_MAX = 100
SCOPE = system_scope("watch")

log = logging.getLogger("watch")


class Judging:
    """A `intake.sides.JudgeSide`. All methods run in one thread. The estate is looked at again every
    `estate_every_ms`."""

    def __init__(
        self,
        judge: Judge,
        road: Road,
        clock: Clock,
        *,
        estate_every_ms: int = ESTATE_EVERY_MS,
        jobs: Sequence[tuple[str, int]] = JOBS,
        noticing: Noticing | None = None,
    ) -> None:
        self._judge = judge
        self._noticing = noticing
        self._road = road
        self._clock = clock
        self._estate_every_ms = estate_every_ms
        self._jobs = jobs
        self._waiting: list[Transition] = []
        self._judged: Decoded | None = None
        self._estate_ms = 0
        self._begun = False
        self._texts = TextsToJudge(judge)
        self._plans = PlansToJudge(judge)
        self._plans_ms = 0
        self._signing_in: frozenset[str] = frozenset()  # probes with a credential
        self._uses: dict[tuple[str, str], int] = {}
        self.turned_at = time.monotonic()
        self.heard_jobs: dict[str, int] = {}
        self.own_samples: deque[Sample] = deque(maxlen=OWN_MAX)

    def restore(self, state: bytes) -> None:
        """Go on from a saved state; one that does not fit is left, what is wrong is then found again."""
        now_ms = to_ms(self._clock.now())
        self._load_estate(now_ms)
        try:
            self._waiting += self._judge.restore(state, now_ms=now_ms)
        except Trouble as trouble:
            log.warning("%s", trouble)

    def snapshots(self, snapshots: Sequence[PlacedSnapshot]) -> None:
        """Versions and changes; then the judge looks at them."""
        self._begin()
        now = self._clock.now()
        with _database():
            taken = [(placed.client, placed.asset, placed.snapshot) for placed in snapshots]
            kept = store_snapshots(taken, now=now)
        for placed, stored in zip(snapshots, kept, strict=True):
            number, kind = to_number(placed.asset), placed.snapshot.kind
            capture = JudgedCapture(
                asset=number, kind=kind, at_ms=placed.snapshot.at_ms, problem=placed.snapshot.problem
            )
            self._waiting += self._judge.observe_refusals([capture])
            if stored.change is not None:
                change = stored.change
                at_ms = to_ms(change.at)
                self._waiting += self._judge.observe_changes(
                    [
                        JudgedChange(
                            asset=number,
                            kind=kind,
                            at_ms=at_ms,
                            after_at_ms=to_ms(change.after_at),
                            before=bytes(change.before.content.digest).hex(),
                            after=bytes(change.after.content.digest).hex(),
                            title=change.title,
                            summary=change.summary,
                            signed_in=(*change.signed_in, *(f"{one} (says its log)" for one in change.named)),
                            planned=is_planned(placed.client, placed.asset, at_ms),
                        )
                    ]
                )

    def step(self, decoded: Decoded) -> None:
        """Judge a stretch of a queue once, and apply what came of it, however often it takes."""
        self._begin()
        self._take_sweeps(decoded)
        with _database():
            refused = self._plans.take(decoded.backups, decoded.outcomes, self._clock.now())
        if decoded is not self._judged:
            decoded.rejected.extend(refused)  # whoever runs this side keeps them for inspection
            self._judged = decoded
            self._waiting += self._observe(decoded)
        self._apply()

    def _take_sweeps(self, decoded: Decoded) -> None:
        """What discovery saw; the same may come again."""
        sweeps = [
            PlacedSweep(
                client=placed.client,
                asset=placed.asset,
                collector=placed.collector,
                at_ms=placed.outcome.at_ms,
                reason=placed.outcome.reason,
                sweep=placed.outcome.sweep,
            )
            for placed in decoded.outcomes
            if placed.outcome.sweep is not None
        ]
        if sweeps:
            with _database():
                take_sweeps(sweeps)

    def tick(self, now_ms: int) -> None:
        """Time passes."""
        self.turned_at = time.monotonic()
        self._begin()
        if now_ms - self._estate_ms >= self._estate_every_ms:
            self._load_estate(now_ms)
            self._note_uses()
        for name, at_ms in list(self.heard_jobs.items()):
            self._hear_job(name, at_ms)
            self.heard_jobs.pop(name, None)
        self._observe_itself(now_ms)
        self._waiting += self._judge.tick(now_ms)
        with _database():
            self._waiting += self._texts.judge_some(now_ms)
            if now_ms - self._plans_ms >= self._estate_every_ms:
                self._plans_ms = now_ms
                self._plans.look(now_ms)
                self._waiting += self._plans.judge_coverage(now_ms)
            self._waiting += self._plans.judge_some(now_ms)
        self._apply()
        with _database():
            self._road.tick(now=self._clock.now())
            if self._noticing is not None:
                self._noticing.tick(now_ms)

    def save(self) -> bytes:
        """The judge's state; whatever it found is in the database by now."""
        self._apply()
        return self._judge.save()

    def _observe(self, decoded: Decoded) -> list[Transition]:
        judge, received_at_ms = self._judge, decoded.received_at_ms
        taken: list[Transition] = []
        for collector, at_ms in decoded.last_seen.items():
            if collector in self._collectors:
                taken += judge.observe_heard(self._collectors[collector], at_ms=at_ms)
        taken += judge.observe(decoded.samples, received_at_ms=received_at_ms)
        outcomes = [
            JudgedOutcome(
                asset=placed.asset_number,
                at_ms=placed.outcome.at_ms,
                kind=placed.outcome.kind,
                target=placed.outcome.target,
                ok=placed.outcome.ok,
                reason=placed.outcome.reason,
                answer=placed.outcome.answer,
            )
            for placed in decoded.outcomes
        ]
        for placed in decoded.outcomes:
            if placed.outcome.probe in self._signing_in:
                use = (placed.outcome.probe, placed.collector if placed.collector in self._collectors else "")
                self._uses[use] = self._uses.get(use, 0) + 1
        taken += judge.observe_outcomes(outcomes, received_at_ms=received_at_ms)
        taken += judge.observe_logs(decoded.logs)
        if self._noticing is not None:
            self._noticing.look(decoded.logs)
        return taken

    def _apply(self) -> None:
        if self._waiting:
            with _database():
                self._road.take(self._waiting, now=self._clock.now())
            self._waiting = []

    def _begin(self) -> None:
        """Once: the estate, and findings that the database holds open but the judge does not know."""
        if self._begun:
            return
        now_ms = to_ms(self._clock.now())
        self._load_estate(now_ms)
        with _database():
            held = [
                OpenFinding(
                    client=row.client_id,
                    asset=row.asset_id,
                    rule=row.rule,
                    item=row.item,
                    state=State(row.state),
                    began_at_ms=to_ms(row.began_at),
                    tells=row.tells,
                )
                for row in Finding.objects.of(SCOPE).filter(OPEN)
            ]
        self._waiting += self._judge.reconcile(held, now_ms=now_ms)
        self._begun = True

    def _load_estate(self, now_ms: int) -> None:
        with _database():
            assets = load_judged_assets(self._jobs)
            self._collectors = {
                pk: to_number(asset)
                for pk, asset in Collector.objects.of(SCOPE)
                .filter(revoked_at=None)
                .exclude(platform=SERVER)
                .values_list("pk", "asset")
            }
            self._signing_in = frozenset(
                Probe.objects.of(SCOPE).filter(credential__isnull=False).values_list("pk", flat=True)
            )
        self._estate_ms = now_ms
        itself = next((asset for asset in assets if asset.kind == "forestall"), None)
        self._itself = itself.number if itself else 0
        self._itself_client = to_number(itself.client) if itself else 0
        self._waiting += self._judge.set_estate(assets, now_ms=now_ms)
        with _database():
            self._texts.look(now_ms)

    def _note_uses(self) -> None:
        """Count who signed in with which credential."""
        if self._uses:
            with _database():
                note_uses(self._uses, now=self._clock.now())
            self._uses = {}

    def _observe_itself(self, now_ms: int) -> None:
        """What must be known of Forestall also when its queue takes nothing: it does not go through it."""
        taken = [self.own_samples.popleft() for _ in range(len(self.own_samples))]
        if taken and self._itself:
            columns = SampleColumns(
                client=np.array([self._itself_client] * len(taken), np.uint64),
                asset=np.array([self._itself] * len(taken), np.uint64),
                metric=pa.array([one.metric for one in taken]),
                item=pa.array([one.item for one in taken]),
                at_ms=np.array([one.at_ms for one in taken], np.int64),
                value=np.array([one.value for one in taken], np.float64),
            )
            self._waiting += self._judge.observe(columns, received_at_ms=now_ms)

    def _hear_job(self, name: str, at_ms: int) -> None:
        if self._itself:
            self._waiting += self._judge.observe_heard(self._itself, "job", name, at_ms=at_ms)


def load_judged_assets(jobs: Sequence[tuple[str, int]] = JOBS) -> list[JudgedAsset]:
    """Every asset that is watched, with what is expected of it and its overrides. `jobs` (name, interval in
    ms) are expected of Forestall itself."""
    overrides = load_overrides(SCOPE)
    collectors = list(
        Collector.objects.of(SCOPE)
        .filter(revoked_at=None)
        .exclude(platform=SERVER)
        .values_list("pk", "asset")
    )
    machine_of = {pk: to_number(asset) for pk, asset in collectors}
    expects: dict[str, list[Expected]] = {}
    for _, machine in collectors:
        expects[machine] = [Expected(what="asset", interval_ms=AGENT_EVERY_MS)]
    for row in (
        Probe.objects.of(SCOPE)
        .filter(enabled=True)
        .values_list("asset", "kind", "target", "interval_s", "collector")
    ):
        expects.setdefault(row[0], []).append(
            Expected(
                what="probe",
                name=f"{row[1]} {row[2]}",
                interval_ms=row[3] * 1000,
                by=machine_of.get(row[4], 0),
            )
        )
    for beat in Heartbeat.objects.of(SCOPE):
        expects.setdefault(beat.asset_id, []).extend(expect_heartbeat(beat))
    tags: dict[str, list[str]] = {}
    for tagged, name in Tag.objects.of(SCOPE).exclude(assets=None).values_list("assets", "name"):
        tags.setdefault(tagged, []).append(name)
    judged = []
    for asset in Asset.objects.of(SCOPE).filter(archived_at=None):
        own = list(expects.get(asset.pk, ()))
        if asset.kind == "forestall":
            own += [Expected(what="job", name=name, interval_ms=interval_ms) for name, interval_ms in jobs]
        judged.append(
            JudgedAsset(
                id=asset.pk,
                number=to_number(asset.pk),
                client=asset.client_id,
                name=asset.name,
                kind=asset.kind,
                created_at_ms=to_ms(asset.created_at),
                expects=tuple(own),
                overrides=overrides.get(asset.pk, ()),
                tags=tuple(sorted(tags.get(asset.pk, ()))),
            )
        )
    return judged


def expect_heartbeat(beat: Heartbeat) -> list[Expected]:
    """What must come of a heartbeat: the next one, from its first on, and the end of a run that began."""
    name = f"heartbeat {beat.name}"
    expected = []
    if beat.pinged_at is not None:
        interval_ms = (beat.period_s + beat.grace_s) * 1000
        expected.append(
            Expected(what="heartbeat", name=name, interval_ms=interval_ms, heard_ms=to_ms(beat.pinged_at))
        )
    if beat.began_at is not None:
        interval_ms = beat.grace_s * 1000
        expected.append(
            Expected(what="heartbeat_end", name=name, interval_ms=interval_ms, heard_ms=to_ms(beat.began_at))
        )
    return expected


class _database:
    """The database may be away for a while: then the same is tried again later."""

    def __enter__(self) -> None:
        if not connection.in_atomic_block:  # in a transaction of whoever called, it is in use
            close_old_connections()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DatabaseError):
            raise TryAgain(f"the database: {error}") from error


def is_planned(client: str, asset: str, at_ms: int) -> bool:
    """Whether a maintenance window over that asset, its site or its client was on."""
    at = from_ms(at_ms)
    site = Asset.objects.of(SCOPE).filter(pk=asset).values_list("site", flat=True).first()
    whole = Q(site=None, asset=None)
    here = Q(site=site, asset=None) if site else whole
    windows = Window.objects.of(SCOPE).filter(client=client, starts_at__lte=at, ends_at__gte=at)
    return windows.filter(whole | here | Q(asset=asset)).exists()
