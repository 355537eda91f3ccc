"""Prevention: a new rule tried against history before it is put in force. Pure.

A trial says how often the rule would have warned before an onset, how long before, and how often for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from forestall.kernel.words import say_duration

BEFORE_MS = 24 * 3_600_000  # a warning earlier than this before an onset did not mean it


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rule would have done: `warned` of `onsets`, `lead_ms` in the median, false alarms in `days`."""

    onsets: int
    warned: int
    lead_ms: float
    false_alarms: int
    days: float

    @property
    def text(self) -> str:
        """For people."""
        times = f"{self.warned} of {self.onsets} time{'s' if self.onsets != 1 else ''}"
        lead = f", {say_duration(self.lead_ms / 1000)} earlier" if self.warned else ""
        alarms = f"{self.false_alarms} false alarm{'s' if self.false_alarms != 1 else ''}"
        return f"would have warned {times}{lead}, with {alarms} in {self.days:.0f} days"


def try_rule(
    at_ms: Sequence[int],
    values: Sequence[float | None],
    onsets: Sequence[int],
    *,
    limit: float,
    above: bool = True,
    for_ms: int = 0,
) -> Trial:
    """Hold a threshold (`above` or below `limit` for `for_ms`) against a series. A value that is None ends a
    warning, as silence does. Onsets outside of the series do not count: nothing could have been seen."""
    alarms = _alarms(at_ms, values, limit=limit, above=above, for_ms=for_ms)
    first, last = (at_ms[0], at_ms[-1]) if at_ms else (0, 0)
    inside = [onset for onset in onsets if at_ms and first <= onset <= last + BEFORE_MS]
    leads, meant = [], set()
    for onset in inside:
        early = [one for one in alarms if one[0] < onset and onset - one[1] <= BEFORE_MS]
        near = [one for one in early if onset - one[0] <= BEFORE_MS]
        if near:
            leads.append(onset - min(near)[0])
        meant.update(near)
    behind = {one for one in alarms if any(onset <= one[0] <= onset + BEFORE_MS for onset in inside)}
    return Trial(
        onsets=len(inside),
        warned=len(leads),
        lead_ms=float(median(leads)) if leads else 0.0,
        false_alarms=len(set(alarms) - meant - behind),
        days=(last - first) / 86_400_000,
    )


def write_rule(name: str, metric: str, *, limit: float, above: bool, for_s: int, why: str) -> str:
    """The rule as it stands in a pack."""
    side = "above" if above else "below"
    said = " ".join(why.split()).replace('"', "'")[:300]
    return (
        f"  - name: {name}\n"
        f"    look_at: {metric}\n"
        f"    out_of_spec: {{{side}: {_amount(metric, limit)}, for: {max(1, for_s // 60)} min}}\n"
        f'    why: "{said}"\n'
        f"    first: Open the problem that this rule was made from and read its workaround.\n"
    )


def _amount(metric: str, limit: float) -> str:
    """The limit in the unit that the metric's name ends in, as packs want it."""
    unit = metric.rsplit("_", 1)[-1].rsplit(".", 1)[-1]
    if unit == "ratio":
        return f"{limit * 100:g}%"
    return f"{limit:g}" + {"ms": " ms", "s": " s", "seconds": " s", "bytes": " B", "days": " days"}.get(
        unit, ""
    )


def _alarms(
    at_ms: Sequence[int], values: Sequence[float | None], *, limit: float, above: bool, for_ms: int
) -> list[tuple[int, int]]:
    """(when it would have told, when it was over) of every warning."""
    found: list[tuple[int, int]] = []
    since: int | None = None
    last = 0
    for at, value in zip(at_ms, values, strict=True):
        bad = value is not None and (value > limit if above else value < limit)
        if bad:
            since = at if since is None else since
            last = at
        elif since is not None:
            if last - since >= for_ms:
                found.append((since + for_ms, at))
            since = None
    if since is not None and last - since >= for_ms:
        found.append((since + for_ms, last))
    return found
