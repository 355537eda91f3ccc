"""Where partitions begin and how long they are: days of logs, months of samples."""

from datetime import UTC, datetime

import pytest

from forestall.telemetry.retention import DAY_MS, _start, _width


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("table", "at_ms", "start_ms", "days"),
    [
        ("logs", ms(2024, 2, 29, 23, 59), ms(2024, 2, 29), 1),
        ("samples", ms(2024, 2, 29, 23, 59), ms(2024, 2, 1), 29),
        ("samples", ms(2026, 12, 1), ms(2026, 12, 1), 31),
        ("samples", ms(2026, 11, 30), ms(2026, 11, 1), 30),
        ("samples", -5, 0, 31),
    ],
)
def test_partitions(table: str, at_ms: int, start_ms: int, days: int) -> None:
    assert _start(table, at_ms) == start_ms
    assert _width(table, start_ms) == days * DAY_MS
