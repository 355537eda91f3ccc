"""The tables of a device: what is wrong stands first, and a row leads to the charts of one item."""

from forestall.telemetry.read import SeriesName
from forestall.web.console.device_numbers import device_of


def named(metric: str, item: str, value: float) -> SeriesName:
    return SeriesName(metric, item, 1_790_000_000_000, value)


SERIES = [
    named("interface.up", "Gi1", 1),
    named("interface.used_ratio", "Gi1", 0.2),
    named("interface.in_bytes_per_s", "Gi1", 5e6),
    named("interface.up", "Gi2", 1),
    named("interface.used_ratio", "Gi2", 0.9),
    named("interface.up", "Gi3", 0),
    named("interface.errors_per_s", "Gi4", 0),
    named("device.fan_failed", "fan 1", 1),
    named("device.temperature_celsius", "inlet", 31),
    named("device.cpu_used_ratio", "snmp sw1", 0.1),
]


def test_what_is_down_stands_first_then_the_busiest() -> None:
    device = device_of(SERIES, item="")
    assert [(one.name, one.up) for one in device.interfaces] == [
        ("Gi3", False), ("Gi2", True), ("Gi1", True), ("Gi4", None),
    ]  # fmt: skip
    assert device.interfaces[2].in_bytes_per_s == 5e6
    assert device.interfaces[0].used_ratio is None


def test_a_failed_part_stands_first_and_has_a_word() -> None:
    first, second = device_of(SERIES, item="").parts
    assert (first.item, first.word, first.state) == ("fan 1", "Failed", "out_of_spec")
    assert (second.item, second.word, second.value) == ("inlet", "", 31)


def test_the_charts_are_of_the_rest_or_of_one_item() -> None:
    assert [one.metric for one in device_of(SERIES, item="").charts] == ["device.cpu_used_ratio"]
    of_one = [one.metric for one in device_of(SERIES, item="Gi1").charts]
    assert of_one == ["interface.up", "interface.used_ratio", "interface.in_bytes_per_s"]


def test_an_asset_without_a_device_has_charts_alone() -> None:
    series = [named("cpu.used_ratio", "", 0.5)]
    device = device_of(series, item="")
    assert not device.interfaces and not device.parts and list(device.charts) == series
