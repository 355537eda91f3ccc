"""The newest numbers of a device as tables: its interfaces, and its sensors, supplies and neighbours.

A switch has hundreds of series: a table says at one look what is up and how busy; a row leads to its charts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forestall.telemetry.read import SeriesName

INTERFACES_SHOWN = 500
PARTS_SHOWN = 200
INTERFACE = "interface."
# metric → what 0 and 1 mean, and whether 1 is the good one
STATES: dict[str, tuple[str, str, bool]] = {
    "interface.up": ("Down", "Up", True),
    "bgp.neighbour_up": ("Lost", "Established", True),
    "device.tunnel_up": ("Down", "Up", True),
    "device.fan_failed": ("Runs", "Failed", False),
    "device.power_failed": ("Good", "Failed", False),
    "device.sensor_failed": ("Good", "Fault", False),
    "device.disk_failed": ("Good", "Failed", False),
    "device.array_degraded": ("Good", "Degraded", False),
}
PARTS = {  # in the order of the table
    "printer.supply_ratio": "Supply", "bgp.neighbour_up": "BGP neighbour", "device.tunnel_up": "Tunnel",
    "device.array_degraded": "Array", "device.disk_failed": "Disk", "device.power_failed": "Power supply",
    "device.fan_failed": "Fan", "device.sensor_failed": "Sensor", "device.temperature_celsius": "Temperature",
    "device.fan_rpm": "Fan speed", "device.storage_used_ratio": "Storage",
}  # fmt: skip
ORDER = {metric: place for place, metric in enumerate(PARTS)}


@dataclass(frozen=True, slots=True)
class Interface:
    """A row of the table; None where nothing was measured lately (a port that is down has no traffic)."""

    name: str
    up: bool | None
    in_bytes_per_s: float | None
    out_bytes_per_s: float | None
    used_ratio: float | None
    errors_per_s: float | None
    discards_per_s: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """A sensor, a supply, a neighbour: its number, or a word for it (`state` as the colour of a pill)."""

    metric: str
    item: str
    value: float
    word: str = ""
    state: str = ""

    @property
    def title(self) -> str:
        """What it is, in a word."""
        return PARTS[self.metric]


@dataclass(frozen=True, slots=True)
class Device:
    """The tables of a device, and the series that are left for charts."""

    interfaces: Sequence[Interface]
    parts: Sequence[Part]
    charts: Sequence[SeriesName]


def device_of(series: Iterable[SeriesName], *, item: str) -> Device:
    """Tables of what SNMP brought, charts of the rest; with `item` charts of that one alone."""
    rows: dict[str, dict[str, float]] = {}
    parts: list[Part] = []
    charts: list[SeriesName] = []
    for one in series:
        if one.metric.startswith(INTERFACE):
            rows.setdefault(one.item, {})[one.metric.removeprefix(INTERFACE)] = one.value
        elif one.metric in PARTS:
            parts.append(_part(one))
        if one.item == item if item else not (one.metric.startswith(INTERFACE) or one.metric in PARTS):
            charts.append(one)
    interfaces = [_interface(name, values) for name, values in rows.items()]
    interfaces.sort(key=lambda one: (one.up is not False, -(one.used_ratio or 0.0), one.name))
    parts.sort(key=lambda one: (one.state != "out_of_spec", ORDER[one.metric], one.item))
    return Device(interfaces[:INTERFACES_SHOWN], parts[:PARTS_SHOWN], charts)


def _interface(name: str, values: dict[str, float]) -> Interface:
    return Interface(
        name=name,
        up=None if "up" not in values else values["up"] == 1,
        in_bytes_per_s=values.get("in_bytes_per_s"),
        out_bytes_per_s=values.get("out_bytes_per_s"),
        used_ratio=values.get("used_ratio"),
        errors_per_s=values.get("errors_per_s"),
        discards_per_s=values.get("discards_per_s"),
    )


def _part(one: SeriesName) -> Part:
    if one.metric not in STATES:
        return Part(one.metric, one.item, one.value)
    off, on, good = STATES[one.metric]
    fine = (one.value == 1) is good
    state = "in_spec" if fine else "out_of_spec"
    return Part(one.metric, one.item, one.value, word=on if one.value else off, state=state)
