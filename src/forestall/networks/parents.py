"""Which parents the topology gives to assets, and which of them are set. Pure.

A parent is set by itself only where nobody chose one: the asset hangs on nothing, or on what was set here the
last time. Whatever else it hangs on was chosen by a person and stays; the topology's word stands beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from forestall.networks.topology import Edge

DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """The parent that the topology sees; `before` is what the asset hangs on now."""

    asset: str
    parent: str
    before: str | None
    reason: str
    apply: bool


def choose_parents(
    parents: Mapping[str, Edge],
    asset_of: Mapping[str, str],
    now: Mapping[str, str | None],
    applied: Mapping[str, str | None],
) -> list[Choice]:
    """One choice for each asset that hangs on another one. `parents` by device, `asset_of` device → asset,
    `now` asset → its parent of now, `applied` asset → the parent that was set here before.

    A device without an asset between two assets is passed over; two devices of one asset hang on nothing of
    their own; a parent that would close a circle is not set.
    """
    choices: list[Choice] = []
    above = dict(now)
    decided: set[str] = set()
    for device in sorted(asset_of):
        asset = asset_of[device]
        if asset not in now or asset in decided:
            continue
        found = _next_asset(device, parents, asset_of)
        if found is None:
            continue
        parent, reason = found
        if parent not in now:
            continue
        decided.add(asset)
        before = now[asset]
        # a person who took a parent away has chosen too
        free = (before is None and applied.get(asset) is None) or (
            before is not None and before == applied.get(asset)
        )
        apply = free and not _circle(asset, parent, above)
        if apply:
            above[asset] = parent
        choices.append(Choice(asset, parent, before, reason, apply))
    return choices


def _next_asset(
    device: str, parents: Mapping[str, Edge], asset_of: Mapping[str, str]
) -> tuple[str, str] | None:
    """The nearest device above that is another asset, and why it hangs there."""
    said: list[str] = []
    here = device
    for _ in range(DEPTH_MAX):
        edge = parents.get(here)
        if edge is None:
            return None
        said.append(edge.reason)
        here = edge.upper
        found = asset_of.get(here)
        if found is not None and found != asset_of[device]:
            return found, "; ".join(said)[:512]
    return None


def _circle(asset: str, parent: str, above: Mapping[str, str | None]) -> bool:
    """Whether the parent hangs on the asset."""
    here: str | None = parent
    for _ in range(DEPTH_MAX):
        if here is None:
            return False
        if here == asset:
            return True
        here = above.get(here)
    return True  # deeper than anything may be, or a circle that is there already
