"""Seeded problems with confounding changes, for tests and `benchmarks/suspects.py`.

What is assumed of the world (each is a draw from the seed; none of it is known to the ranking):
- A site is a tree of 8 to 24 assets (a firewall, switches, machines). 4% of the wires are not known.
- Changes happen all the time, of ten kinds with rates between 1 in 20 and 3 a day and asset; some asset has a
  nightly change of configuration. Captures run every 10 min to 6 h, so a change lies between two.
- Per problem one cause: in 80% a change, of a kind drawn evenly (a frequent kind is as often guilty as a
  rare one); in 10% a resource that runs full; in 10% something that nothing watches ("none").
- The guilty change is on the failing asset in 60%, on what it hangs on in 25%, beside it in 10%, anywhere 5%.
- From the change to the onset: lognormal, median 25 min, sigma 1.1, at most 36 h.
- 1 to 4 onsets, days apart; the earlier ones follow the same kind of change on the same asset, in 15% of them
  the change was not seen. The background goes on in all that time.
- A series deviates between change and onset in 65%, on the guilty asset in 70% of these; 0 to 3 further
  deviate for no reason. A new log template comes in 60%, that names what was changed in 55% of these; 0 to 4
  templates are new for no reason, and 15% of them name some innocent change.
- A confounder is planted in 50%: an innocent change on the failing asset 5 to 90 min before the onset.
- One asset in six has some resource above 95% that does no harm.
What is not in it: changes that work together, a trouble that itself makes changes, clocks that are wrong.
"""

import random
from dataclasses import dataclass

from forestall.judge.suspects import (
    Candidate,
    Deviation,
    Saturation,
    Scene,
    Shift,
    count_rates,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
HISTORY_DAYS = 60
KINDS = {  # changes a day and asset
    "packages": 0.15,
    "nginx config": 0.03,
    "cron": 0.02,
    "accounts": 0.05,
    "firewall rules": 0.02,
    "switch config": 0.05,
    "certificates": 0.012,
    "dns zone": 0.02,
    "docker images": 0.2,
    "database settings": 0.01,
}


@dataclass(frozen=True)
class SeededProblem:
    """A scene and the identifier of what is behind it ("" for something that nothing watches)."""

    scene: Scene
    truth: str


def make_problem(seed: int) -> SeededProblem:
    """One problem of a seed."""
    rng = random.Random(seed)
    assets, parents = make_site(rng)
    failing = rng.choice(assets[3:])
    now = HISTORY_DAYS * DAY + rng.randrange(DAY)
    capture = rng.choice([10 * MINUTE, HOUR, HOUR, 6 * HOUR])
    changes = background(rng, assets, now=now, capture=capture)
    cause = rng.random()
    onsets = [now]
    for _ in range(rng.randrange(4)):
        onsets.insert(0, onsets[0] - int(rng.uniform(1.5, 9) * DAY))
    deviations, shifts = noise(rng, assets, changes, now)
    full = [
        Saturation(one, "memory", now - rng.randrange(DAY), rng.uniform(0.95, 0.99))
        for one in assets
        if rng.random() < 1 / 6
    ]
    truth = ""
    if cause < 0.8:
        kind, place = rng.choice(list(KINDS)), guilty_place(rng, failing, parents, assets)
        for onset in onsets:
            lag = min(int(rng.lognormvariate(0, 1.1) * 25 * MINUTE), 36 * HOUR)
            made = change_at(rng, place, kind, onset - lag, capture, len(changes))
            if onset == now:
                truth = made.id
                changes.append(made)
                traces(rng, made, failing, now, lag, deviations, shifts)
            elif rng.random() > 0.15:
                changes.append(made)
    elif cause < 0.9:
        place = failing if rng.random() < 0.75 else (parents[failing] or failing)
        truth = f"{place}/disk"
        full.append(Saturation(place, "disk", now - rng.randrange(90 * MINUTE), rng.uniform(0.985, 1.0)))
    if rng.random() < 0.5:
        kind = rng.choice(list(KINDS))
        at = now - rng.randrange(5 * MINUTE, 90 * MINUTE)
        changes.append(change_at(rng, failing, kind, at, capture, len(changes)))
    known = {lower: upper for lower, upper in parents.items() if rng.random() > 0.04}
    near = [one for one in changes if one.at_ms <= now + capture]
    rates = count_rates(near, onsets, now_ms=now)
    scene = Scene(
        asset=failing,
        onset_ms=now,
        names={one: one for one in assets},
        parents=known,
        rates=rates,
        days=HISTORY_DAYS,
        onsets=len(onsets),
        candidates=near,
        deviations=deviations,
        shifts=shifts,
        saturations=full,
    )
    return SeededProblem(scene, truth)


def make_site(rng: random.Random) -> tuple[list[str], dict[str, str | None]]:
    """A firewall, two switches, machines."""
    assets = ["firewall", "switch-1", "switch-2", *(f"machine-{n}" for n in range(rng.randrange(5, 22)))]
    parents: dict[str, str | None] = {"firewall": None, "switch-1": "firewall", "switch-2": "switch-1"}
    for one in assets[3:]:
        parents[one] = rng.choice(
            ["switch-1", "switch-2", *(a for a in parents if a.startswith("machine"))][:4]
        )
    return assets, parents


def guilty_place(rng: random.Random, failing: str, parents: dict[str, str | None], assets: list[str]) -> str:
    draw = rng.random()
    above = parents[failing]
    if draw < 0.6 or above is None:
        return failing
    if draw < 0.85:
        return above
    beside = [one for one in assets if parents[one] == above and one != failing]
    return rng.choice(beside) if draw < 0.95 and beside else rng.choice(assets)


def change_at(rng: random.Random, asset: str, kind: str, at: int, capture: int, number: int) -> Candidate:
    """A change that happened at an instant, as captures bracket it."""
    after = at - rng.randrange(capture)
    return Candidate(
        id=f"change-{number}",
        asset=asset,
        kind=kind,
        title=kind,
        after_ms=after,
        at_ms=after + capture,
        words=f"{kind} {rng.choice(['main', 'site', 'extra'])}",
    )


def background(rng: random.Random, assets: list[str], *, now: int, capture: int) -> list[Candidate]:
    """What changes anyway."""
    made: list[Candidate] = []
    for asset in assets:
        for kind, rate in KINDS.items():
            at = rng.expovariate(rate) * DAY
            while at < now:
                made.append(change_at(rng, asset, kind, int(at), capture, len(made)))
                at += rng.expovariate(rate) * DAY
    nightly = rng.choice(assets)
    for day in range(HISTORY_DAYS + 1):
        at = day * DAY + 2 * HOUR
        if at < now:
            made.append(change_at(rng, nightly, "nightly config", at, capture, len(made)))
    return made


def noise(
    rng: random.Random, assets: list[str], changes: list[Candidate], now: int
) -> tuple[list[Deviation], list[Shift]]:
    """Deviations and new templates for no reason."""
    deviations = [
        Deviation(rng.choice(assets), "load", now - rng.randrange(DAY), rng.uniform(3, 8))
        for _ in range(rng.randrange(4))
    ]
    shifts = []
    for _ in range(rng.randrange(5)):
        about = rng.choice(changes).kind if rng.random() < 0.15 else "session"
        shifts.append(
            Shift(rng.choice(assets), f"{about} opened", now - rng.randrange(DAY), rng.random() < 0.8)
        )
    return deviations, shifts


def traces(
    rng: random.Random,
    made: Candidate,
    failing: str,
    now: int,
    lag: int,
    deviations: list[Deviation],
    shifts: list[Shift],
) -> None:
    """What the guilty change leaves in series and logs."""
    at = now - int(lag * rng.random())
    if rng.random() < 0.65:
        place = made.asset if rng.random() < 0.7 else failing
        deviations.append(Deviation(place, "latency", at, rng.uniform(3.5, 20)))
    if rng.random() < 0.6:
        text = f"cannot apply {made.kind}" if rng.random() < 0.55 else "unexpected end of request"
        shifts.append(Shift(rng.choice([made.asset, failing]), text, at))
