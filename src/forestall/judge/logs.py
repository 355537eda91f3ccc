"""Rules on log lines: how many that match within how long."""

import zlib
from bisect import insort
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.judge import reasons
from forestall.judge.rules import Look, Rule
from forestall.judge.transitions import Estate, make_transition
from forestall.judge.values import JudgedAsset, State, Transition
from forestall.kernel.columns import I64, LogColumns

LINES_KEPT = 5
SKIM_MIN = 256
LINE_MAX_CHARS = 500
LATE_MS = 120_000  # lines may come this late before a finding ends on a tick
OUR_SOURCES = frozenset({"probe"})  # our own records of failed outcomes, which rules on probes judge
UNSET = -1
Key = tuple[int, str]


class LogLife(msgspec.Struct):
    """The matching lines of one rule on one asset. `held_ms`: when each level last held."""

    hits: list[tuple[int, int]] = []  # time and checksum, in the order of time
    held_ms: list[int] = []
    state: int = 0
    began_ms: int = UNSET
    told: bool = False
    lines: list[str] = []


class LogJudge:
    """The state of all rules on log lines."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.lives: dict[Key, LogLife] = {}
        self.rules = [
            (rule, pack.kinds) for pack in estate.book.packs for rule in pack.rules if rule.look is Look.LOG
        ]

    def observe(self, logs: LogColumns) -> list[Transition]:
        """Count the matching lines of a batch."""
        if not len(logs) or not self.rules:
            return []
        source = logs.source
        coded = source if isinstance(source, pa.DictionaryArray) else source.dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        names = coded.dictionary.to_pylist()
        taken: list[Transition] = []
        for rule, kinds in self.rules:
            meant = [n for n, name in enumerate(names) if _covers(rule, name)]
            if not meant:
                continue
            mask = logs.severity <= rule.severity
            if len(meant) < len(names):
                mask = mask & np.isin(codes, meant)
            lines = np.flatnonzero(mask)
            if len(lines):
                taken += self._match(rule, kinds, logs, lines)
        return sorted(taken, key=lambda one: (one.at_ms, one.place))

    def _match(self, rule: Rule, kinds: frozenset[str], logs: LogColumns, lines: I64) -> list[Transition]:
        messages = logs.message if len(lines) == len(logs) else logs.message.take(pa.array(lines))
        hit = pc.match_substring_regex(messages, pattern=rule.pattern)
        found = lines[np.flatnonzero(hit.to_numpy(zero_copy_only=False))]
        if not len(found):
            return []
        found = found[np.argsort(logs.at_ms[found], kind="stable")]
        if len(found) > SKIM_MIN:
            found = self._skim(rule, logs, found)
        taken: list[Transition] = []
        texts = logs.message.take(pa.array(found)).to_pylist()
        for line, text in zip(found.tolist(), texts, strict=True):
            asset = int(logs.asset[line])
            owner = self.estate.assets.get(asset)
            held = self.estate.rules_of(asset).get(rule.name)
            if owner is not None and owner.kind in kinds and held is not None:
                taken += self._hit(owner, held, at_ms=int(logs.at_ms[line]), text=text)
        return taken

    def _skim(self, rule: Rule, logs: LogColumns, found: I64) -> I64:
        """Of many lines of an asset within the shortest time that a level looks at, the first and the last as
        many as the highest limit: with or without those between, the same levels hold at the same times."""
        assets = logs.asset[found]
        rules = [rule, *(self.estate.rules_of(asset).get(rule.name) for asset in np.unique(assets).tolist())]
        levels = [level for one in rules if one is not None for level in one.levels]
        most = int(max(level.limit for level in levels))
        span_ms = max(1, min(level.within_ms for level in levels))
        spans = logs.at_ms[found] // span_ms
        order = np.lexsort((np.arange(len(found)), spans, assets))
        together = (assets[order][1:] == assets[order][:-1]) & (spans[order][1:] == spans[order][:-1])
        begins = np.flatnonzero(np.concatenate([[True], ~together]))
        sizes = np.diff(np.append(begins, len(found)))
        place = np.arange(len(found)) - np.repeat(begins, sizes)
        kept = (place < most) | (place >= np.repeat(sizes, sizes) - most)
        return found[np.sort(order[kept])]

    def _hit(self, owner: JudgedAsset, rule: Rule, *, at_ms: int, text: str) -> list[Transition]:
        key = (owner.number, rule.name)
        life = self.lives.get(key)
        if life is None:
            life = self.lives[key] = LogLife(held_ms=[UNSET] * len(rule.levels))
        mark = (at_ms, zlib.crc32(text.encode()))
        if mark in life.hits:
            return []
        taken = self._expire(owner, rule, life, at_ms)
        insort(life.hits, mark)
        most = int(max(level.limit for level in rule.levels))
        del life.hits[:-most]
        life.lines = [*life.lines, text[:LINE_MAX_CHARS]][-LINES_KEPT:]
        newest = life.hits[-1][0]
        for n, level in enumerate(rule.levels):
            wanted = int(level.limit)
            if len(life.hits) >= wanted and newest - life.hits[-wanted][0] <= level.within_ms:
                life.held_ms[n] = newest
        return taken + self._settle(owner, rule, life, newest)

    def _settle(self, owner: JudgedAsset, rule: Rule, life: LogLife, at_ms: int) -> list[Transition]:
        """The transition to the highest level that holds at `at_ms`, if it is another than before."""
        now = max((n for n, held in enumerate(life.held_ms, 1) if held != UNSET), default=0)
        was = life.state
        if now == was:
            return []
        life.state = now
        if was == 0:
            life.began_ms, life.told = life.hits[-int(rule.levels[now - 1].limit)][0], False
        if now == 0:
            reason, tells = f"no further such lines for {reasons.say_span(_hold(rule, was - 1))}", life.told
        else:
            level = rule.levels[now - 1]
            within = [at for at, _ in life.hits if at_ms - at <= level.within_ms]
            reason = reasons.say_lines(
                count=len(within),
                within_ms=max(at_ms - within[0], 1000) if within else level.within_ms,
                level=level,
                lines=life.lines,
            )
            tells = level.tells
            life.told = life.told or tells
        return [
            make_transition(
                owner,
                rule,
                item="",
                was=rule.levels[was - 1].state if was else State.IN_SPEC,
                to=rule.levels[now - 1].state if now else State.IN_SPEC,
                began_ms=life.began_ms,
                at_ms=at_ms,
                reason=reason,
                told=tells,
                numbers={"lines": float(len(life.hits))},
                answer="\n".join(life.lines) if now else "",
            )
        ]

    def _expire(self, owner: JudgedAsset, rule: Rule, life: LogLife, now_ms: int) -> list[Transition]:
        """End the levels whose time ran out before `now_ms`, in the order of time."""
        taken: list[Transition] = []
        due = sorted((held + _hold(rule, n), n) for n, held in enumerate(life.held_ms) if held != UNSET)
        for when, n in due:
            if when < now_ms:
                life.held_ms[n] = UNSET
                taken += self._settle(owner, rule, life, when)
        return taken

    def tick(self, now_ms: int) -> list[Transition]:
        """End findings after which no such lines came."""
        taken: list[Transition] = []
        for key, life in sorted(self.lives.items()):
            owner = self.estate.assets.get(key[0])
            rule = self.estate.rules_of(key[0]).get(key[1])
            if owner is not None and rule is not None:
                taken += self._expire(owner, rule, life, now_ms - LATE_MS)
                longest = max(level.within_ms for level in rule.levels)
                if life.state == 0 and now_ms - life.hits[-1][0] > longest + LATE_MS:
                    del self.lives[key]
        return taken

    def change_assets(self, before: Mapping[int, JudgedAsset], changed: Iterable[int], at_ms: int) -> None:
        """Forget the counts of assets and rules that are gone or have other levels now."""
        numbers = set(changed)
        for key, life in list(self.lives.items()):
            rule = self.estate.rules_of(key[0]).get(key[1])
            if key[0] in numbers and (rule is None or len(rule.levels) != len(life.held_ms)):
                del self.lives[key]


def _covers(rule: Rule, source: str) -> bool:
    if rule.sources:
        return any(fnmatchcase(source, glob) for glob in rule.sources)
    return source not in OUR_SOURCES


def _hold(rule: Rule, level: int) -> int:
    return max(rule.levels[level].within_ms, rule.back_ms)
