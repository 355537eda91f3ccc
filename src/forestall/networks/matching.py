"""Which asset a sighting is. Pure. Recognising is no adding: it is done without asking, and says why."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """An asset. `here`: it is at the site that was swept, or at none."""

    asset: str
    name: str
    here: bool
    addresses: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """The asset, and why."""

    asset: str
    reason: str


def match(
    address: str,
    assets: Sequence[Known],
    *,
    macs: Iterable[str] = (),
    names: Iterable[str] = (),
    addresses: Iterable[str] = (),
) -> Match | None:
    """The one asset with that MAC, else with one of its addresses, else of that name; None for none or
    several. Addresses and names count at the asset's own site alone: other sites have the same numbers."""
    mac_set = {mac for mac in macs if mac}
    if one := _only(known for known in assets if mac_set & known.macs):
        return Match(one.asset, f"the same MAC as {one.name} ({sorted(mac_set & one.macs)[0]})")
    here = [known for known in assets if known.here]
    own = {address, *addresses}
    if one := _only(known for known in here if own & known.addresses):
        return Match(one.asset, f"the address {sorted(own & one.addresses)[0]} is one of {one.name}")
    spelled = {_short(name) for name in names if name} - {"", "localhost"}
    called = [
        known
        for known in here
        if spelled & {_short(known.name), *(_short(text) for text in known.addresses if not _is_number(text))}
    ]
    if one := _only(called):
        return Match(one.asset, f"it calls itself {sorted(spelled)[0]}, as {one.name}")
    return None


def _only(found: Iterable[Known]) -> Known | None:
    rows = list(found)
    return rows[0] if len(rows) == 1 else None


def _short(name: str) -> str:
    return name.strip().lower().partition(".")[0]


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:.]*", text.lower()))
