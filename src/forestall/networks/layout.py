"""Where a device stands on the map: a tree that is indented, rows going down. Pure.

Five hundred devices are a long page that one scrolls, and names are read without turning the head. Where many
leaves hang on one device they stand in up to COLUMNS_MAX columns, each with a line of its own, so that a site
of sixty is seen at once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAYER_PX, COLUMN_PX, ROW_PX, NODE_WIDTH_PX, NODE_HEIGHT_PX, MARGIN_PX = 56, 212, 32, 184, 26, 12
BUS_PX = 14  # from a column's own line to its boxes
BUS_HEIGHT_PX = 12  # room above a block of columns for the line that leads to them
NODES_MAX = 1_000
LAYERS_MAX = 64
COLUMNS_MAX = 4
COLUMN_LEAVES = 6  # so many leaves are one column; more are parted


@dataclass(frozen=True, slots=True)
class Spot:
    """The upper left corner of a device's box, in pixels; `layer` counts from the root. `bus_y` is the height
    of the line that leads to its column, 0 where it hangs on its parent's own line."""

    key: str
    x: int
    y: int
    layer: int
    bus_y: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Spots in reading order, and the size of the picture in pixels."""

    spots: tuple[Spot, ...]
    width: int
    height: int


def lay_out(keys: Sequence[str], parents: Mapping[str, str]) -> Layout:
    """A spot for each key, in the order of `keys` among siblings, leaves before what carries others; an
    unknown parent counts as none, and what hangs on nothing and carries nothing stands last."""
    keys = list(dict.fromkeys(keys))[:NODES_MAX]
    known = set(keys)
    children: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        parent = parents.get(key, "")
        children[parent if parent in known and parent != key else ""].append(key)
    spots: list[Spot] = []
    y = MARGIN_PX
    # depth first without recursion; a circle, which parents never make, would only be left out
    stack = [(key, 0) for key in reversed(children[""]) if children.get(key)]
    while stack:
        key, layer = stack.pop()
        spots.append(Spot(key, MARGIN_PX + layer * LAYER_PX, y, layer))
        y += ROW_PX
        below = min(layer + 1, LAYERS_MAX)
        y = _place_leaves(spots, [one for one in children[key] if not children.get(one)], below, y, bus=True)
        stack += [(one, below) for one in reversed(children[key]) if children.get(one)]
    alone = [one for one in children[""] if not children.get(one)]
    y = _place_leaves(spots, alone, 0, y + (ROW_PX // 2 if spots and alone else 0), bus=False)
    right = max((spot.x for spot in spots), default=MARGIN_PX)
    return Layout(tuple(spots), right + NODE_WIDTH_PX + MARGIN_PX, max(y, MARGIN_PX + ROW_PX) + MARGIN_PX)


def _place_leaves(spots: list[Spot], leaves: Sequence[str], layer: int, y: int, *, bus: bool) -> int:
    """Leaves below each other, or in columns; where the next row begins. They are read down a column."""
    columns = max(1, min(COLUMNS_MAX, -(-len(leaves) // COLUMN_LEAVES)))
    rows = -(-len(leaves) // columns)
    bus_y = y + BUS_HEIGHT_PX // 2 - 4 if bus and columns > 1 else 0
    top = y + BUS_HEIGHT_PX if bus_y else y
    for place, key in enumerate(leaves):
        column, row = divmod(place, rows)
        x = MARGIN_PX + layer * LAYER_PX + column * COLUMN_PX
        spots.append(Spot(key, x, top + row * ROW_PX, layer, bus_y))
    return top + rows * ROW_PX
