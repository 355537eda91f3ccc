"""Suspects: which of the changes before a trouble is behind it. Pure; room `problems` asks it.

Every suspect gets odds that are the sum of terms, each a sentence with its number: base rate, time, topology,
first deviating series, log templates; "none of these" competes. A saturated resource is a suspect of its own.
The terms are weighted by hand (docs/decisions/0026-problems.md), on seeds that are never reported.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from forestall.kernel.words import say_duration, say_share

CANDIDATES_MAX = 500  # looked at, the latest
WITHIN_MS = 48 * 3_600_000  # a change that was earlier is no suspect
FOLLOWED_MS = 6 * 3_600_000  # a trouble within this of a change counts as following it
DEPTH_MAX = 16
NONE_ODDS = -4.3  # what "none of these" weighs; a suspect below it is not named
CLEAR = 0.5  # share from which a suspect is named the likely cause
LEAD_MS = 45 * 60_000  # a deviation within this behind a change belongs to it
LAG_MS = 20 * 60_000  # usual time from a change to its trouble
TAIL = 1.4
POINTS = 8  # between two captures, at which the lag is looked at
RARE = 4.0  # changes without trouble that still count as rare
COVERED = 0.85  # of the onsets, before which the change that is behind them was seen
DISTANCE = (0.0, -1.0, -2.4, -3.4)  # by hops; further: the last
UNRELATED = -4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change before an onset: between `after_ms` (still as before) and `at_ms` (seen changed). `words` are
    its title and summary, to be compared with log templates; `planned`: in a maintenance window."""

    id: str
    asset: str
    kind: str
    title: str
    after_ms: int
    at_ms: int
    words: str = ""
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a kind of change happened on an asset (`seen`), how often this trouble came within
    FOLLOWED_MS of one (`followed`), and before how many of the onsets one stood (`covered`)."""

    seen: int = 0
    followed: int = 0
    covered: int = 0


@dataclass(frozen=True, slots=True)
class Deviation:
    """A series that left its usual course; `size` in its own usual spreads."""

    asset: str
    metric: str
    at_ms: int
    size: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A log template that came for the first time (`new`), or that stopped coming."""

    asset: str
    text: str
    at_ms: int
    new: bool = True


@dataclass(frozen=True, slots=True)
class Saturation:
    """A resource at its limit; `share` of it in use."""

    asset: str
    resource: str
    at_ms: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is known around the onset of a trouble. `parents`: asset → what it hangs on; `rates` by
    asset and kind of change, counted over `days`; `onsets`: how many of this trouble there were in that time,
    this one among them."""

    asset: str
    onset_ms: int
    names: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str | None] = field(default_factory=dict)
    rates: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    days: float = 30.0
    onsets: int = 1
    candidates: Sequence[Candidate] = ()
    deviations: Sequence[Deviation] = ()
    shifts: Sequence[Shift] = ()
    saturations: Sequence[Saturation] = ()


@dataclass(frozen=True, slots=True)
class Suspect:
    """What may be behind it. `share`: of all odds, "none of these" among them; `evidence`: why, in words."""

    id: str
    kind: str  # change, saturation
    asset: str
    title: str
    share: float
    evidence: tuple[str, ...]

    @property
    def clear(self) -> bool:
        """Likely enough to be named the cause."""
        return self.share >= CLEAR


Term = tuple[float, str]


def rank_suspects(scene: Scene, *, most: int = 10) -> list[Suspect]:
    """The suspects, the likeliest first; what "none of these" outweighs by far is left out."""
    near = distances(scene.asset, scene.parents)
    kinds = _kinds(scene)
    usable = [
        one
        for one in scene.candidates
        if one.after_ms < scene.onset_ms and one.at_ms > scene.onset_ms - WITHIN_MS
    ]
    usable.sort(key=lambda one: (-one.at_ms, one.id))
    weighed: list[tuple[float, str, str, str, str, list[str]]] = []
    for change in usable[:CANDIDATES_MAX]:
        terms = [
            *_base_rate(change, kinds, scene),
            _time(change, scene),
            _topology(change.asset, scene, near),
            *_series(change, scene, near),
            *_templates(change, scene),
            (-0.5, "it was planned, in a maintenance window") if change.planned else (0.0, ""),
        ]
        said = [words for _, words in terms if words]
        weighed.append((sum(n for n, _ in terms), change.id, "change", change.asset, change.title, said))
    for full in scene.saturations:
        weight, said = _saturated(full, scene, near)
        title = f"{full.resource} at its limit"
        weighed.append((weight, f"{full.asset}/{full.resource}", "saturation", full.asset, title, said))
    total = math.exp(NONE_ODDS) + sum(math.exp(one[0]) for one in weighed)
    weighed.sort(key=lambda one: (-one[0], one[1]))
    return [
        Suspect(key, kind, asset, title, math.exp(weight) / total, tuple(said))
        for weight, key, kind, asset, title, said in weighed[:most]
        if weight > NONE_ODDS - 3
    ]


def distances(asset: str, parents: Mapping[str, str | None]) -> dict[str, int]:
    """Hops from an asset: what it hangs on and what hangs on it 1 each, what hangs beside it 2, and so on up
    to DEPTH_MAX. An asset that is not connected is not in the answer."""
    beside: dict[str, list[str]] = {}
    for lower, upper in parents.items():
        if upper is not None:
            beside.setdefault(lower, []).append(upper)
            beside.setdefault(upper, []).append(lower)
    found, edge = {asset: 0}, [asset]
    for hops in range(1, DEPTH_MAX):
        edge = [other for one in edge for other in beside.get(one, ()) if other not in found]
        found.update(dict.fromkeys(edge, hops))
    return found


def count_rates(
    changes: Iterable[Candidate], onsets: Sequence[int], *, now_ms: int
) -> dict[tuple[str, str], Rate]:
    """Rates by asset and kind. A change that is younger than FOLLOWED_MS and not followed yet is left out."""
    seen: dict[tuple[str, str], list[int]] = {}
    stood: dict[tuple[str, str], set[int]] = {}
    for change in changes:
        key = (change.asset, change.kind)
        count = seen.setdefault(key, [0, 0])
        behind = {at for at in onsets if change.after_ms < at and at - change.at_ms <= FOLLOWED_MS}
        if behind or change.at_ms + FOLLOWED_MS <= now_ms:
            count[0] += 1
            count[1] += bool(behind)
            stood.setdefault(key, set()).update(behind)
    return {key: Rate(count[0], count[1], len(stood.get(key, ()))) for key, count in seen.items()}


def _base_rate(change: Candidate, kinds: Mapping[str, Rate], scene: Scene) -> Iterable[Term]:
    """How rare this kind of change is, and how well it stood before the earlier onsets, against chance."""
    rate = scene.rates.get((change.asset, change.kind), Rate())
    kind = kinds.get(change.kind, Rate())
    quiet = max(0, kind.seen - kind.followed)
    weight = math.log(RARE / (quiet + RARE))
    yield weight, f"{quiet} changes like it in {scene.days:.0f} days went without this trouble"
    earlier = scene.onsets - 1
    if earlier > 0:
        own_quiet = max(0, rate.seen - rate.followed)
        chance = 1 - math.exp(-(own_quiet + 0.5) / max(1.0, scene.days) * FOLLOWED_MS / 86_400_000)
        covered = max(0, min(rate.covered, scene.onsets) - 1)  # without this one
        weight = covered * math.log(COVERED / chance)
        weight += (earlier - covered) * math.log((1 - COVERED) / (1 - chance))
        said = f"one like it on this asset came before {covered + 1} of the {scene.onsets} times it failed"
        yield weight, f"{said}, and {own_quiet} times without trouble"


def _kinds(scene: Scene) -> dict[str, Rate]:
    """Rates by kind alone, over all assets."""
    found: dict[str, Rate] = {}
    for (_, kind), rate in scene.rates.items():
        before = found.get(kind, Rate())
        found[kind] = Rate(before.seen + rate.seen, before.followed + rate.followed)
    return found


def _time(change: Candidate, scene: Scene) -> Term:
    """The lag is heavy-tailed about LAG_MS; the change happened anywhere between its two captures."""
    span = max(1, change.at_ms - change.after_ms)
    lags = [scene.onset_ms - (change.after_ms + span * (n + 0.5) / POINTS) for n in range(POINTS)]
    likely = sum((1 + lag / LAG_MS) ** -TAIL for lag in lags if lag >= 0) / POINTS
    weight = math.log(max(likely, 1e-3))
    if change.at_ms > scene.onset_ms:
        return weight, f"it happened in the {say_duration(span / 1000)} around the onset"
    late = scene.onset_ms - change.at_ms
    return weight, f"it was seen {say_duration(late / 1000)} before the onset"


def _topology(asset: str, scene: Scene, near: Mapping[str, int]) -> Term:
    hops = near.get(asset)
    name = scene.names.get(asset, "another asset")
    if hops is None:
        return UNRELATED, f"it is on {name}, which nothing connects with this asset"
    weight = DISTANCE[min(hops, len(DISTANCE) - 1)]
    if hops == 0:
        return weight, "it is on this very asset"
    if scene.parents.get(scene.asset) == asset:
        return weight + 0.3, f"it is on {name}, which this asset hangs on"
    return weight, f"it is on {name}, {hops} hop{'s' if hops > 1 else ''} away"


def _series(change: Candidate, scene: Scene, near: Mapping[str, int]) -> Iterable[Term]:
    """Whether the first series that left its course did so behind the change, and where."""
    before_ms = scene.onset_ms - WITHIN_MS
    own = [
        one
        for one in scene.deviations
        if before_ms < one.at_ms <= scene.onset_ms and one.asset in near and one.size >= 3
    ]
    if not own:
        return
    first = min(own, key=lambda one: (one.at_ms, one.asset, one.metric))
    behind = [one for one in own if change.after_ms <= one.at_ms <= change.at_ms + LEAD_MS]
    mine = [one for one in behind if one.asset == change.asset]
    named = min(mine or behind or own, key=lambda one: (one.at_ms, one.asset, one.metric))
    where = f"{named.metric} on {scene.names.get(named.asset, 'an asset')}"
    lag = say_duration(max(0, named.at_ms - change.at_ms) / 1000)
    if mine:
        extra = 0.6 if first in mine else 0.0
        said = f"{where} left its course {lag} later, by {named.size:.1f} of its usual spread"
        yield 1.2 + extra, said + (" (the first of all)" if extra else "")
    elif behind:
        yield 0.5, f"{where} left its course {lag} later"
    elif first.at_ms < change.after_ms and first.asset == scene.asset:
        early = say_duration((change.after_ms - first.at_ms) / 1000)
        yield -1.2, f"{first.metric} had left its course {early} before the change"


def _templates(change: Candidate, scene: Scene) -> Iterable[Term]:
    """New and vanished log templates behind the change, and whether they speak of what was changed."""
    about = _words(change.words)
    best: Term = (0.0, "")
    for shift in scene.shifts:
        if not change.after_ms <= shift.at_ms <= max(scene.onset_ms, change.at_ms) + LEAD_MS:
            continue
        if shift.asset not in {change.asset, scene.asset}:
            continue
        shared = about & _words(shift.text)
        weight = (0.5 if shift.asset == change.asset else 0.2) + (2.2 if shared else 0.0)
        if shift.at_ms > change.at_ms + LEAD_MS:
            weight *= 0.5
        if not shift.new:
            weight *= 0.7
        if weight > best[0]:
            what = "a new kind of log line" if shift.new else "a kind of log line stopped"
            names = f" that speaks of {', '.join(sorted(shared)[:3])}" if shared else ""
            best = weight, f"{what}{names}: {shift.text[:120]}"
    yield best


def _saturated(full: Saturation, scene: Scene, near: Mapping[str, int]) -> tuple[float, list[str]]:
    weight, where = _topology(full.asset, scene, near)
    late = max(0, scene.onset_ms - full.at_ms)
    weight += -1.6 + 4 * (min(1.0, full.share) - 0.95) * 10 - 0.6 * math.log1p(late / LAG_MS)
    said = f"{full.resource} was {say_share(full.share)} in use {say_duration(late / 1000)} before the onset"
    return weight, [said, where]


_PLAIN = frozenset(
    ("the", "and", "for", "was", "with", "from", "etc", "usr", "conf", "service", "error", "changed")
)


def _words(text: str) -> set[str]:
    cleaned = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return {word for word in cleaned.split() if len(word) > 2 and not word.isdigit()} - _PLAIN
