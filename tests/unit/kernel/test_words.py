"""How numbers are said, and that judge's reasons say them in the same words."""

import pytest

from forestall.judge.metrics import METRICS
from forestall.kernel.words import say_number, say_quantity


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("network.in_bytes_per_s", 2_750_000.0, "2.8 MB/s"),
        ("network.errors_per_s", 3.0, "3/s"),
        ("probe.per_s", 0.25, "0.25/s"),
        ("uptime_s", 7200.0, "2 h"),
        ("probe.took_ms", 250.0, "250 ms"),
        ("probe.took_ms", 0.125, "0.125 ms"),
        ("probe.took_ms", 999.7, "1000 ms"),
        ("probe.took_ms", 12_345.0, "12 s"),
        ("certificate.days_left", 20.9, "20 days"),
        ("certificate.days_left", 1.0, "24 h"),
        ("certificate.days_left", 0.0, "0 days"),
        ("disk.used_ratio", 0.942, "94.2%"),
        ("disk.free_bytes", 1.4e9, "1.4 GB"),
        ("ups.temperature_celsius", 41.26, "41.3 °C"),
        ("processes.count", 1204.0, "1,204"),
        ("load.per_core", 0.5, "0.5"),
    ],
)
def test_quantities_are_said_in_the_unit_of_their_metric(metric: str, value: float, said: str) -> None:
    assert say_quantity(metric, value) == said


@pytest.mark.parametrize(("value", "said"), [(999.4, "999"), (999.7, "999.7"), (0.25, "0.25"), (-3.0, "-3")])
def test_no_number_is_said_with_an_exponent(value: float, said: str) -> None:
    assert say_number(value) == said


@pytest.mark.parametrize("metric", [name for name in METRICS if name.endswith("_per_s")])
def test_a_rate_is_said_as_one_once(metric: str) -> None:
    said = METRICS[metric].says.format(item="eth0", value=say_quantity(metric, 5.5))
    assert said.count("/s") == 1
