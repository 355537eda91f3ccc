"""How metrics and states are said on pages."""

import pytest

from forestall.web.templatetags.words import initials, metric_title, quantity, state_name


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("cpu.used_ratio", "CPU used"),
        ("disk.free_bytes", "Disk free"),
        ("load.per_core", "Load per core"),
        ("network.in_bytes_per_s", "Network in"),
        ("time.offset_ms", "Time offset"),
        ("certificate.days_left", "Certificate days left"),
        ("updates.pending_count", "Updates pending"),
        ("uptime_s", "Uptime"),
        ("nagios.users", "Nagios users"),
        ("forestall.queue_age_s", "Forestall queue age"),
    ],
)
def test_titles_of_metrics(metric: str, title: str) -> None:
    assert metric_title(metric) == title


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("network.in_bytes_per_s", 2_750_000.0, "2.8 MB/s"),
        ("network.errors_per_s", 3.0, "3/s"),
        ("uptime_s", 7200.0, "2 h"),
        ("disk.used_ratio", 0.942, "94.2%"),
    ],
)
def test_values_are_said_in_their_unit(metric: str, value: float, said: str) -> None:
    assert quantity(value, metric) == said


def test_states_and_names() -> None:
    assert state_name("out_of_spec") == "Out of spec"
    assert state_name("superseded") == "Superseded"
    assert (initials("Jo Ortiz"), initials("")) == ("JO", "?")
