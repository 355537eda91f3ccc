"""Samples and log records that come one by one (of collectors, of probes), gathered into columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from forestall.collect.parsers.syslog import empty_strings
from forestall.intake.decoded import EARLY_MAX_MS
from forestall.intake.route import Place
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.observations import Outcome

PROBE_FACILITY = 1
PROBE_SEVERITY = 4


@dataclass(slots=True)
class SampleRows:
    """Samples, gathered row by row."""

    places: list[Place] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    metric: list[str] = field(default_factory=list)
    item: list[str] = field(default_factory=list)
    value: list[float] = field(default_factory=list)

    def add(self, place: Place, rows: Sequence[tuple[int, str, str, float]], received_at_ms: int) -> None:
        """Rows of (at_ms, metric, item, value)."""
        if not rows:
            return
        self.places.append(place)
        self.counts.append(len(rows))
        self.received.append(received_at_ms)
        at_ms, metric, item, value = zip(*rows, strict=True)
        self.at_ms += at_ms
        self.metric += metric
        self.item += item
        self.value += value

    def columns(self) -> SampleColumns:
        """All rows; a time in the future is the time of receiving."""
        at_ms, received = np.array(self.at_ms, np.int64), np.repeat(self.received, self.counts)
        return SampleColumns(
            np.repeat(np.array([p.client_number for p in self.places], np.uint64), self.counts),
            np.repeat(np.array([p.asset_number for p in self.places], np.uint64), self.counts),
            pa.array(self.metric, pa.string()),
            pa.array(self.item, pa.string()),
            np.where(at_ms > received + EARLY_MAX_MS, received, at_ms).astype(np.int64),
            np.array(self.value, np.float64),
        )


# place, at_ms, received_at_ms, severity, facility, source, message, attrs
LogRow = tuple[Place, int, int, int, int, str, str, str]


@dataclass(slots=True)
class LogRows:
    """Log records, as LogRow."""

    rows: list[LogRow] = field(default_factory=list)

    def columns(self) -> LogColumns:
        """All rows; a time in the future is the time of receiving."""
        rows = self.rows
        at_ms = np.array([row[1] for row in rows], np.int64)
        received = np.array([row[2] for row in rows], np.int64)
        return LogColumns(
            np.array([row[0].client_number for row in rows], np.uint64),
            np.array([row[0].asset_number for row in rows], np.uint64),
            np.where(at_ms > received + EARLY_MAX_MS, received, at_ms),
            received,
            np.array([row[3] for row in rows], np.uint8),
            np.array([row[4] for row in rows], np.uint8),
            pa.array([row[5] for row in rows], pa.string()),
            empty_strings(len(rows)),
            pa.array([row[6] for row in rows], pa.string()),
            empty_strings(len(rows)),
            pa.array([row[7] for row in rows], pa.string()),
        )


def attrs_json(attrs: dict[str, str]) -> str:
    """As the columns have it: "" for none."""
    return msgspec.json.encode(attrs).decode() if attrs else ""


def outcome_samples(outcome: Outcome) -> list[tuple[int, str, str, float]]:
    """The samples of a probe's run; whether it was up and how long it took are added if they are missing."""
    rows = [(s.at_ms, s.metric, s.item, s.value) for s in outcome.samples]
    told = {row[1] for row in rows}
    item = f"{outcome.kind} {outcome.target}"[:256]
    for metric, value in (("probe.up", float(outcome.ok)), ("probe.took_ms", outcome.took_ms)):
        if metric not in told:
            rows.append((outcome.at_ms, metric, item, value))
    return rows


def outcome_log(outcome: Outcome, place: Place, at_ms: int) -> LogRow:
    """A failed run as a log record, so that it is found among the other lines."""
    attrs = attrs_json({"kind": outcome.kind, "target": outcome.target, "answer": outcome.answer})
    return (place, outcome.at_ms, at_ms, PROBE_SEVERITY, PROBE_FACILITY, "probe", outcome.reason, attrs)
