"""The judge: spec and observations in, transitions with reasons out. Incremental and pure.

The caller hands in observations as they are decoded and the time by `tick`; nothing here looks at a clock.
`tick` must be given a time up to which everything that was received has been handed in, otherwise what waits
in the queue would count as silence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from forestall.judge import saved
from forestall.judge.backups.plans import PlanJudge
from forestall.judge.backups.values import JudgedPlan, PlanHistory, PlanVerdict
from forestall.judge.changes import ChangeJudge
from forestall.judge.logs import OUR_SOURCES, LogJudge
from forestall.judge.metrics import find_metric
from forestall.judge.rules import Book
from forestall.judge.samples import SampleJudge
from forestall.judge.silence import Silence
from forestall.judge.texts import JudgedResult, TextJudge
from forestall.judge.transitions import NO_LONGER, Estate
from forestall.judge.values import (
    JudgedAsset,
    JudgedCapture,
    JudgedChange,
    JudgedOutcome,
    JudgedText,
    OpenFinding,
    State,
    Transition,
)
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.grouping import group, spans

AHEAD_MS = (
    60_000  # a sample that claims to be from further in the future than this is taken as of its arrival
)
PROBE_UP = "probe.up"
HEARTBEAT = "heartbeat"  # the kind of outcome that a client's job sends by itself
FORGET_MS = 7 * 24 * 3_600_000
FORGET_EVERY_MS = 24 * 3_600_000


class Judge:
    """All rules of a book on all assets."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.estate = Estate(book)
        self.samples = SampleJudge(self.estate)
        self.silence = Silence(self.estate)
        self.logs = LogJudge(self.estate)
        self.changes = ChangeJudge(self.estate)
        self.texts = TextJudge(self.estate)
        self.plans = PlanJudge(self.estate)
        self.open: dict[str, Transition] = {}  # place → the transition into the state that it is in
        self.forgot_ms = 0  # when series that no longer come were last dropped
        self._asked: dict[str, bool] = {}

    # the estate

    def set_estate(self, assets: Sequence[JudgedAsset], *, now_ms: int) -> list[Transition]:
        """Watch these assets from now on. What is no longer watched ends with that reason.

        Cheap when little has changed, so it may be called often. `now_ms`: the time of the change.
        """
        before = self.estate.assets
        after = {asset.number: asset for asset in assets}
        changed = [
            number for number in before.keys() | after.keys() if before.get(number) != after.get(number)
        ]
        if not changed:
            return []
        self.estate.assets = after
        taken = self.samples.change_assets(before, changed, now_ms)
        taken += self.silence.change_assets(before, changed, now_ms)
        self.logs.change_assets(before, changed, now_ms)
        self.changes.change_assets(changed)
        self.texts.change_assets(changed)
        self.plans.change_assets(changed)
        self._keep(taken)
        names = {before[number].id for number in changed if number in before}
        return taken + self._end_orphans(names, now_ms)

    # observations

    def observe(self, samples: SampleColumns, *, received_at_ms: int) -> list[Transition]:
        """Judge samples. `probe.up` is left out: `observe_outcomes` brings it with the probe's own reason."""
        if not len(samples):
            return []
        coded = _encoded(samples.metric)
        names = coded.dictionary.to_pylist()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        asked = np.array([self._is_asked(name) for name in names] or [True])[codes]
        told = np.unique(samples.asset[~asked])
        taken = self.silence.hear_assets(told.tolist(), received_at_ms)
        at_ms = samples.at_ms
        ahead = at_ms > received_at_ms + AHEAD_MS
        if ahead.any():
            at_ms = np.where(ahead, received_at_ms, at_ms)
        owner, metric, item, value = samples.asset, coded, samples.item, samples.value
        if PROBE_UP in names:
            other = np.flatnonzero(codes != names.index(PROBE_UP))
            picked = pa.array(other)
            owner, metric, item = owner[other], coded.take(picked), _encoded(item).take(picked)
            at_ms, value = at_ms[other], value[other]
        taken += self.samples.observe(owner, metric, item, at_ms=at_ms, value=value)
        return self._keep(taken)

    def observe_outcomes(self, outcomes: Sequence[JudgedOutcome], *, received_at_ms: int) -> list[Transition]:
        """Judge what probes found: each is a `probe.up` of its item, and a sign that the probe is asked."""
        if not outcomes:
            return []
        taken: list[Transition] = []
        said = {}
        for one in outcomes:
            if one.kind == HEARTBEAT:
                taken += self.silence.hear(one.asset, "heartbeat", one.item, at_ms=received_at_ms)
                taken += self.silence.hear(one.asset, "heartbeat_end", one.item, at_ms=received_at_ms)
            else:
                taken += self.silence.hear(one.asset, "probe", one.item, at_ms=received_at_ms)
            if not one.ok:
                said[(one.asset, one.item, min(one.at_ms, received_at_ms))] = (one.reason, one.answer)
        taken += self.samples.observe(
            np.array([one.asset for one in outcomes], np.uint64),
            pa.array([PROBE_UP] * len(outcomes)),
            pa.array([one.item for one in outcomes]),
            at_ms=np.array([min(one.at_ms, received_at_ms) for one in outcomes], np.int64),
            value=np.array([float(one.ok) for one in outcomes]),
            said=said,
        )
        return self._keep(taken)

    def observe_logs(self, logs: LogColumns) -> list[Transition]:
        """Count lines that rules look for, and note which assets and sources were heard."""
        if not len(logs):
            return []
        coded = _encoded(logs.source)
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        names = coded.dictionary.to_pylist()
        heard: dict[tuple[int, str], tuple[int, int]] = {}
        owners, owner = group(logs.asset)
        pairs, where = group(owner * len(names) + codes)
        first, last = spans(where, logs.received_at_ms, count=len(pairs))
        for n, pair in enumerate(pairs.tolist()):
            asset, source = int(owners[pair // len(names)]), names[pair % len(names)]
            if source not in OUR_SOURCES and asset in self.estate.assets:
                heard[(asset, source)] = (int(first[n]), int(last[n]))
        newest: dict[int, int] = {}
        for (asset, _), (_, until) in heard.items():
            newest[asset] = max(newest.get(asset, 0), until)
        taken: list[Transition] = []
        for asset, until in newest.items():
            taken += self.silence.hear_assets([asset], until)
        taken += self.silence.hear_sources(heard)
        return self._keep(taken + self.logs.observe(logs))

    def observe_changes(self, changes: Iterable[JudgedChange]) -> list[Transition]:
        """Judge differences between captures."""
        return self._keep(self.changes.observe_changes(changes))

    def observe_refusals(self, captures: Iterable[JudgedCapture]) -> list[Transition]:
        """Judge captures: refused or cut ones are findings, a whole one (`problem` "") ends them."""
        return self._keep(self.changes.observe_captures(captures))

    def observe_text(self, text: JudgedText) -> tuple[list[Transition], JudgedResult]:
        """Judge the text of a configuration; what the spec says of it, for people to read."""
        taken, result = self.texts.observe(text)
        return self._keep(taken), result

    def observe_plan(
        self, plan: JudgedPlan, history: PlanHistory, *, now_ms: int
    ) -> tuple[list[Transition], PlanVerdict | None]:
        """Judge a backup plan; what stands of it, and when to judge it again (None: its asset is not
        watched).

        Call it for every plan that something came of, and when `next_judging_ms` has passed.
        """
        silent = self.silence.silent_since(plan.by, now_ms) if plan.by else None
        if silent is not None and history.silent_since_ms is None:
            history = replace(history, silent_since_ms=silent)
        taken, verdict = self.plans.observe(plan, history, now_ms)
        return self._keep(taken), verdict

    def forget_plan(self, asset: int, plan: str, *, now_ms: int) -> list[Transition]:
        """End what stands open of a plan of this name that is gone or paused (`plans.names()` has them)."""
        return self._keep(self.plans.gone(asset, plan, now_ms=now_ms))

    def observe_heard(
        self, asset: int, what: str = "asset", name: str = "", *, at_ms: int
    ) -> list[Transition]:
        """A sign of life without observations: an agent's empty batch, or a job of ours that ran."""
        if what == "asset":
            return self._keep(self.silence.hear_assets([asset], at_ms))
        return self._keep(self.silence.hear(asset, what, name, at_ms=at_ms))

    def accept_change(self, asset: int, *, rule: str, kind: str, at_ms: int, actor: str) -> list[Transition]:
        """End the finding of a change because a person accepted it."""
        return self._keep(self.changes.accept((asset, rule, kind), at_ms, actor=actor))

    # time

    def tick(self, now_ms: int) -> list[Transition]:
        """Silence, durations that run out, findings that end by themselves. About once a second."""
        taken = self.silence.tick(now_ms)
        taken += self.samples.tick(now_ms, lambda asset: self.silence.heard_ms.get(asset, 0))
        taken += self.logs.tick(now_ms)
        taken += self.changes.tick(now_ms)
        if now_ms - self.forgot_ms > FORGET_EVERY_MS:
            if self.forgot_ms:
                self.samples = saved.without_stale(self.samples, now_ms - FORGET_MS)
            self.forgot_ms = now_ms
        return self._keep(taken)

    # keeping

    def save(self) -> bytes:
        """Everything that the judge remembers, for `restore`."""
        return saved.save(self)

    def restore(self, data: bytes, *, now_ms: int) -> list[Transition]:
        """Remember what was saved; call `set_estate` before. Findings whose rule or asset is gone end.

        Raises Trouble when the data is not a state of this version; the judge is then as new.
        """
        self.open = saved.restore(self, data)
        return self._end_orphans({one.asset for one in self.open.values()}, now_ms)

    def reconcile(self, held: Iterable[OpenFinding], *, now_ms: int) -> list[Transition]:
        """Bring the findings that the database holds open in line with what the judge holds open.

        Call it once after `restore`. Open there and not here: it ends. Open here and not there (or in
        another state): it is said again.
        """
        taken: list[Transition] = []
        there: dict[str, State] = {}
        for one in held:
            place = f"{one.asset}/{one.rule}/{one.item}"
            there[place] = one.state
            if place not in self.open:
                taken.append(self._end_unknown(one, now_ms))
        taken += [one for place, one in self.open.items() if there.get(place) is not one.to]
        return sorted(taken, key=lambda one: (one.at_ms, one.place))

    def _end_unknown(self, one: OpenFinding, now_ms: int) -> Transition:
        return Transition(
            client=one.client,
            asset=one.asset,
            rule=one.rule,
            item=one.item,
            pack="",
            pack_version="",
            was=one.state,
            to=State.IN_SPEC,
            began_at_ms=one.began_at_ms,
            at_ms=now_ms,
            metric="",
            reason="it was in spec or no longer watched when the judge began again",
            why="",
            first_step="",
            tells=one.tells,
        )

    def _end_orphans(self, assets: set[str], now_ms: int) -> list[Transition]:
        """End what stands open on these assets although no part of the judge holds it."""
        mine = {place: one for place, one in self.open.items() if one.asset in assets}
        if not mine:
            return []
        held = saved.held_places(self)
        ended = [
            replace(one, was=one.to, to=State.IN_SPEC, at_ms=now_ms, reason=NO_LONGER, numbers={}, answer="")
            for place, one in sorted(mine.items())
            if place not in held
        ]
        return self._keep(ended)

    def _keep(self, taken: list[Transition]) -> list[Transition]:
        for one in taken:
            if one.to is State.IN_SPEC:
                self.open.pop(one.place, None)
            else:
                self.open[one.place] = one
        return taken

    def _is_asked(self, name: str) -> bool:
        known = self._asked.get(name)
        if known is None:
            metric = find_metric(name)
            known = self._asked[name] = metric is not None and metric.asked
        return known


def _encoded(words: pa.Array) -> pa.DictionaryArray:
    if isinstance(words, pa.ChunkedArray):
        words = words.combine_chunks()
    return words if isinstance(words, pa.DictionaryArray) else words.dictionary_encode()
