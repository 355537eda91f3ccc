"""Silence: what is expected and does not come. Timers run on our own clock's ticks, never on the client's.

An outage of ours (a gap between two ticks) restarts every timer, and so does the arrival of a new asset: what
we could not have heard is not the client's silence. The timer of what comes once a day only pauses during the
outage, or it would hardly ever run out. Sources of logs are learned: one that has been heard
regularly for a day is expected from then on, with a limit of three times its own longest pause.
"""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from forestall.judge import reasons
from forestall.judge.rules import Look, Rule
from forestall.judge.table import grown
from forestall.judge.transitions import NO_LONGER, Estate, make_transition
from forestall.judge.values import Expected, JudgedAsset, State, Transition
from forestall.kernel.columns import I64

OUR_GAP_MS = 30_000
NEVER_MS = 1 << 60
COLLECTOR_QUIET_MS = 120_000
LEARN_MS = 24 * 3_600_000
LEARN_HOURS = 20
LEARN_LIMIT_MS = 24 * 3_600_000
PAUSE_TIMES = 3
PAUSE_HALVES_MS = 7 * 24 * 3_600_000
WATCHED_MAX = 1_000_000
SOURCES_PER_ASSET_MAX = 200

WORDS = {
    "asset": "not heard from it",
    "probe": "{item} was not asked",
    "source": "no log line from {item}",
    "logs": "no log line from it",
    "job": "{item} has not run",
    "heartbeat": "{item} did not come",
    "heartbeat_end": "{item} said that it began, and not that it ended,",
}
PATIENT = ("heartbeat", "heartbeat_end")  # days may lie between two of them: an outage of ours only pauses
Key = tuple[int, str, str, str]  # asset number, rule, what, item


class Watched(msgspec.Struct):
    """One thing that is expected. `base_ms` and `limit_ms` stand in arrays beside it."""

    key: Key
    interval_ms: int = 0
    by: int = 0
    learned: bool = False
    first_ms: int = 0
    hours: int = 0
    last_hour: int = -1
    pause_ms: float = 0.0
    began_ms: int = 0
    told: bool = False
    explained_ms: int = 0  # since when the silence of its collector explains it; 0: it does not


class Silence:
    """The timers of everything that is expected."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.watched: list[Watched | None] = []
        self.places: dict[Key, int] = {}
        self.base: I64 = np.zeros(64, np.int64)
        self.limit: I64 = np.full(64, NEVER_MS, np.int64)
        self.silent = np.zeros(64, np.bool_)
        self.heard_ms: dict[int, int] = {}  # asset → when it was last heard itself
        self.sources: dict[int, int] = {}  # asset → how many sources are learned
        self.last_tick_ms = 0
        self._explained: set[int] = set()
        self._of_asset: dict[int, list[int]] = {}  # asset → the places of its own signs of life

    # hearing

    def hear_assets(self, assets: Iterable[int], at_ms: int) -> list[Transition]:
        """These assets gave a sign of life of their own."""
        taken: list[Transition] = []
        for asset in assets:
            if at_ms > self.heard_ms.get(asset, 0):
                self.heard_ms[asset] = at_ms
            for place in self._of_asset.get(asset, ()):
                if self.silent[place]:
                    taken += self.hear(asset, "asset", "", at_ms=at_ms)
                elif at_ms > self.base[place]:
                    self.base[place] = at_ms
        return taken

    def hear(self, asset: int, what: str, item: str, *, at_ms: int) -> list[Transition]:
        """Something expected came (ms, our own clock)."""
        taken: list[Transition] = []
        for rule in self._rules(asset, what):
            place = self.places.get((asset, rule.name, what, item))
            if place is None or not rule.covers(item):
                continue
            taken += self._hear_place(place, rule, at_ms)
        return taken

    def hear_sources(self, heard: Mapping[tuple[int, str], tuple[int, int]]) -> list[Transition]:
        """Log lines came: (asset, source) → first and last arrival. New sources begin to be learned."""
        taken: list[Transition] = []
        whole: dict[int, tuple[int, int]] = {}
        for (asset, source), (first, last) in heard.items():
            old = whole.get(asset, (first, last))
            whole[asset] = (min(old[0], first), max(old[1], last))
            taken += self._hear_learned(asset, "source", source, first=first, last=last)
        for asset, (first, last) in whole.items():
            taken += self._hear_learned(asset, "logs", "", first=first, last=last)
        return taken

    def _hear_learned(self, asset: int, what: str, item: str, *, first: int, last: int) -> list[Transition]:
        taken: list[Transition] = []
        for rule in self._rules(asset, what):
            if not rule.covers(item):
                continue
            key = (asset, rule.name, what, item)
            place = self.places.get(key)
            if place is None:
                if self.sources.get(asset, 0) >= SOURCES_PER_ASSET_MAX:
                    continue
                self.sources[asset] = self.sources.get(asset, 0) + 1
                place = self.add(Watched(key, learned=True, first_ms=first), base_ms=first, limit_ms=NEVER_MS)
            one = self.watched[place]
            if one is not None and one.learned:
                self._learn(one, place, rule, first=first, last=last)
            taken += self._hear_place(place, rule, last)
        return taken

    def _learn(self, one: Watched, place: int, rule: Rule, *, first: int, last: int) -> None:
        """Adapt the limit of a learned source to its own longest pause, which halves in a week."""
        pause = max(first - int(self.base[place]), 0)
        if not self.silent[place]:
            one.pause_ms = max(one.pause_ms * 0.5 ** (pause / PAUSE_HALVES_MS), float(pause))
        hour = last // 3_600_000
        if hour > one.last_hour:
            one.hours, one.last_hour = one.hours + 1, hour
        level = rule.levels[0]
        limit = max(level.after_ms, round((level.intervals or PAUSE_TIMES) * one.pause_ms))
        regular = last - one.first_ms >= LEARN_MS and one.hours >= LEARN_HOURS
        one.interval_ms = round(one.pause_ms)
        self.limit[place] = limit if regular and limit <= max(LEARN_LIMIT_MS, level.after_ms) else NEVER_MS

    def _hear_place(self, place: int, rule: Rule, at_ms: int) -> list[Transition]:
        if at_ms <= self.base[place]:
            return []
        silent_ms = at_ms - int(self.base[place])
        self.base[place] = at_ms
        if not self.silent[place]:
            return []
        self.silent[place] = False
        self._explained.discard(place)
        return self._end(place, rule, at_ms, f"heard again after {reasons.say_span(silent_ms)} of silence")

    # time

    def tick(self, now_ms: int) -> list[Transition]:
        """What has been silent for too long at `now_ms`."""
        count = len(self.watched)
        if self.last_tick_ms and now_ms < self.last_tick_ms:
            return []
        if self.last_tick_ms and now_ms - self.last_tick_ms > OUR_GAP_MS:
            self._pause(now_ms - self.last_tick_ms, now_ms)
        self.last_tick_ms = now_ms
        over = (now_ms - self.base[:count] > self.limit[:count]) & ~self.silent[:count]
        taken: list[Transition] = []
        fallen = np.flatnonzero(over).tolist()
        # a collector first, so that it explains what it asks
        for place in sorted(fallen, key=lambda place: (not self._is_asset(place), place)):
            taken += self._fall_silent(place, now_ms)
        for place in sorted(self._explained):
            taken += self._still_silent(place, now_ms)
        return taken

    def _pause(self, gap_ms: int, now_ms: int) -> None:
        """We could not hear for a while: timers begin anew, those of PATIENT things go on after a pause."""
        count = len(self.watched)
        running = ~self.silent[:count]
        patient = np.array([one is not None and one.key[2] in PATIENT for one in self.watched], np.bool_)
        base = self.base[:count]
        base[running & ~patient] = np.maximum(base[running & ~patient], now_ms)
        base[running & patient] = np.minimum(base[running & patient] + gap_ms, now_ms)

    def _fall_silent(self, place: int, now_ms: int) -> list[Transition]:
        one = self.watched[place]
        rule, owner = self._rule(one)
        if one is None or rule is None or owner is None:
            return []
        self.silent[place] = True
        one.began_ms = int(self.base[place])
        explained = one.by != 0 and self._is_quiet(one.by, now_ms)
        if explained:
            one.explained_ms = now_ms
            self._explained.add(place)
        else:
            one.explained_ms = 0
        one.told = rule.levels[0].tells and not explained
        at_ms = one.began_ms + int(self.limit[place])
        return [self._say(one, rule, owner, place=place, at_ms=at_ms, was=State.IN_SPEC, explained=explained)]

    def _still_silent(self, place: int, now_ms: int) -> list[Transition]:
        """A silence that its collector explained, when the collector is back for longer than the limit."""
        one = self.watched[place]
        rule, owner = self._rule(one)
        if one is None or rule is None or owner is None:
            return []
        if self._is_quiet(one.by, now_ms):
            one.explained_ms = now_ms
        if now_ms - one.explained_ms <= int(self.limit[place]):
            return []
        self._explained.discard(place)
        one.explained_ms = 0
        one.told = rule.levels[0].tells
        return [self._say(one, rule, owner, place=place, at_ms=now_ms, was=State.SILENT, explained=False)]

    def silent_since(self, asset: int, now_ms: int) -> int | None:
        """Since when an asset's own agent is silent by its rule, or was not heard for longer than one ever
        is; None while it is heard, and while it was never heard since we began."""
        heard = self.heard_ms.get(asset)
        if heard is None or not self._is_quiet(asset, now_ms):
            return None
        return heard

    def _is_quiet(self, collector: int, now_ms: int) -> bool:
        """Whether a collector is silent by its own rule, or was not heard for longer than one ever is."""
        if any(self.silent[place] for place in self._of_asset.get(collector, ())):
            return True
        return now_ms - self.heard_ms.get(collector, 0) > COLLECTOR_QUIET_MS

    def _is_asset(self, place: int) -> bool:
        one = self.watched[place]
        return one is not None and one.key[2] == "asset"

    def _say(
        self,
        one: Watched,
        rule: Rule,
        owner: JudgedAsset,
        *,
        place: int,
        at_ms: int,
        was: State,
        explained: bool,
    ) -> Transition:
        what, item = one.key[2], one.key[3]
        limit_ms = int(self.limit[place])
        reason = reasons.say_silence(
            WORDS[what].format(item=item),
            silent_ms=at_ms - one.began_ms,
            interval_ms=0 if one.learned or what in PATIENT else one.interval_ms,
            limit_ms=limit_ms,
        )
        if explained:
            collector = self.estate.assets.get(one.by)
            reason += f"; the collector {collector.name if collector else ''} that asks it is silent"
        return make_transition(
            owner,
            rule,
            item=item,
            was=was,
            to=State.SILENT,
            began_ms=one.began_ms,
            at_ms=at_ms,
            reason=reason,
            told=one.told,
            numbers={"silent_s": (at_ms - one.began_ms) / 1000, "limit_s": limit_ms / 1000},
            cause="collector" if explained else rule.cause,
        )

    def _end(self, place: int, rule: Rule, at_ms: int, reason: str) -> list[Transition]:
        one = self.watched[place]
        owner = self.estate.assets.get(one.key[0]) if one else None
        if one is None or owner is None:
            return []
        return [
            make_transition(
                owner,
                rule,
                item=one.key[3],
                was=State.SILENT,
                to=State.IN_SPEC,
                began_ms=one.began_ms,
                at_ms=at_ms,
                reason=reason,
                told=one.told,
            )
        ]

    # the estate

    def _rules(self, asset: int, what: str) -> list[Rule]:
        return [rule for rule in self.estate.looking(asset, Look.EXPECTED) if rule.expected == what]

    def _rule(self, one: Watched | None) -> tuple[Rule | None, JudgedAsset | None]:
        if one is None:
            return None, None
        asset, name = one.key[0], one.key[1]
        return self.estate.rules_of(asset).get(name), self.estate.assets.get(asset)

    def add(self, one: Watched, *, base_ms: int, limit_ms: int) -> int:
        """Begin to expect something, with a timer that runs from `base_ms`."""
        place = len(self.watched)
        if place >= WATCHED_MAX:
            raise OverflowError(f"more than {WATCHED_MAX} things are expected")
        self.base = grown(self.base, place + 1, 0).astype(np.int64, copy=False)
        self.limit = grown(self.limit, place + 1, NEVER_MS).astype(np.int64, copy=False)
        self.silent = grown(self.silent, place + 1, False).astype(np.bool_, copy=False)
        self.base[place], self.limit[place], self.silent[place] = base_ms, limit_ms, False
        self.watched.append(one)
        self.places[one.key] = place
        if one.key[2] == "asset":
            self._of_asset.setdefault(one.key[0], []).append(place)
        return place

    def keep(self, place: int, one: Watched, *, base_ms: int, silent: bool) -> None:
        """Put back what was remembered of something that is expected."""
        self.watched[place] = one
        self.base[place] = base_ms
        self.silent[place] = silent
        if one.learned:
            self.sources[one.key[0]] = self.sources.get(one.key[0], 0) + 1
        if silent and one.explained_ms:
            self._explained.add(place)

    def change_assets(
        self, before: Mapping[int, JudgedAsset], changed: Iterable[int], now_ms: int
    ) -> list[Transition]:
        """Expect what the changed assets are expected to send; what is no longer expected ends."""
        numbers = set(changed)
        wanted: dict[Key, tuple[Expected, Rule]] = {}
        for asset in numbers & self.estate.assets.keys():
            for expected in self.estate.assets[asset].expects:
                for one_rule in self._rules(asset, expected.what):
                    if one_rule.covers(expected.name):
                        wanted[(asset, one_rule.name, str(expected.what), expected.name)] = (
                            expected,
                            one_rule,
                        )
        taken: list[Transition] = []
        for place, one in enumerate(self.watched):
            if one is None or one.key[0] not in numbers or one.key in wanted:
                continue
            rule, owner = self._rule(one)
            if one.learned and rule is not None and owner is not None:
                continue
            if self.silent[place] and one.key[0] in before:
                taken.append(_ended(one, before[one.key[0]], now_ms))
            self._remove(place, one)
        for key in sorted(wanted):
            self._expect(key, *wanted[key], now_ms)
        for asset in numbers - self.estate.assets.keys():
            self.heard_ms.pop(asset, None)
            self.sources.pop(asset, None)
        return taken

    def _expect(self, key: Key, expected: Expected, rule: Rule, now_ms: int) -> None:
        level = rule.levels[0]
        limit = max(level.after_ms, level.intervals * expected.interval_ms)
        place = self.places.get(key)
        if place is None:
            base = expected.heard_ms or max(now_ms, self.estate.assets[key[0]].created_at_ms)
            place = self.add(Watched(key), base_ms=base, limit_ms=limit)
        one = self.watched[place]
        assert one is not None
        one.interval_ms, one.by, one.learned = expected.interval_ms, expected.by, False
        self.limit[place] = limit

    def _remove(self, place: int, one: Watched) -> None:
        del self.places[one.key]
        if one.key[2] == "asset":
            self._of_asset[one.key[0]].remove(place)
        self.watched[place] = None
        self.limit[place], self.silent[place] = NEVER_MS, False
        self._explained.discard(place)


def _ended(one: Watched, owner: JudgedAsset, now_ms: int) -> Transition:
    return Transition(
        client=owner.client,
        asset=owner.id,
        rule=one.key[1],
        item=one.key[3],
        pack="",
        pack_version="",
        was=State.SILENT,
        to=State.IN_SPEC,
        began_at_ms=one.began_ms,
        at_ms=now_ms,
        metric="",
        reason=NO_LONGER,
        why="",
        first_step="",
        tells=one.told,
    )
