"""Where a device stands on the map: a tree from left to right, leaves below each other. Pure.

Layers go to the right and rows go down, so that five hundred devices are a long page that one scrolls, and
names are read without turning the head.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLUMN_PX, ROW_PX, NODE_WIDTH_PX, NODE_HEIGHT_PX, MARGIN_PX = 230, 34, 190, 26, 12
NODES_MAX = 1_000
LAYERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Spot:
    """The upper left corner of a device's box, in pixels; `layer` counts from the root."""

    key: str
    x: int
    y: int
    layer: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Spots in reading order, and the size of the picture in pixels."""

    spots: tuple[Spot, ...]
    width: int
    height: int


def lay_out(keys: Sequence[str], parents: Mapping[str, str]) -> Layout:
    """A spot for each key, in the order of `keys` among siblings; an unknown parent counts as none."""
    keys = list(dict.fromkeys(keys))[:NODES_MAX]
    known = set(keys)
    children: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        parent = parents.get(key, "")
        children[parent if parent in known and parent != key else ""].append(key)
    spots: list[Spot] = []
    placed: set[str] = set()
    row = 0
    # depth first without recursion; a circle, which parents never make, would only be left out
    stack = [(key, 0) for key in reversed(children[""])]
    while stack:
        key, layer = stack.pop()
        if key in placed:
            continue
        placed.add(key)
        at = min(layer, LAYERS_MAX)
        spots.append(Spot(key, MARGIN_PX + at * COLUMN_PX, MARGIN_PX + row * ROW_PX, at))
        row += 1
        stack += [(child, layer + 1) for child in reversed(children[key])]
    deepest = max((spot.layer for spot in spots), default=0)
    return Layout(
        tuple(spots),
        2 * MARGIN_PX + deepest * COLUMN_PX + NODE_WIDTH_PX,
        2 * MARGIN_PX + max(row, 1) * ROW_PX,
    )
