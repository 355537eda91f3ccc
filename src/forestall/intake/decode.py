"""From frames of the durable queue to routed columns. Pure: the same in gives the same out.

Nothing that came in stops the rest: a frame, a record or a sender that cannot be used becomes a Rejection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa
import zstandard

from forestall.collect.parsers.syslog import empty_strings, parse_syslog
from forestall.intake.envelope import Envelope, decode_envelope, unpack_lines
from forestall.intake.route import Directory, Place, RoutedCollector
from forestall.intake.segments import Position
from forestall.intake.values import RAW_MAX_BYTES, Rejection
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.errors import Rejected
from forestall.kernel.observations import (
    BATCH_MAX_BYTES,
    Batch,
    Observations,
    Outcome,
    Snapshot,
    decode_batch,
)

EARLY_MAX_MS = 5 * 60_000
PROBE_FACILITY = 1
PROBE_SEVERITY = 4


class DecodeState(msgspec.Struct, frozen=True):
    """The number of the last batch that was taken from each collector, at a position of one queue: a batch
    that comes twice is taken once."""

    last_batch: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class PlacedSnapshot:
    """A snapshot, and whose it is."""

    client: str
    asset: str
    collector: str
    received_at_ms: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class PlacedOutcome:
    """What a probe found, and about which asset. `asset_number` is as in the columns."""

    client: str
    asset: str
    asset_number: int
    collector: str
    received_at_ms: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a stretch of a queue holds.

    `last_seen`: when each collector was last heard (ms). `repeated_count`: batches that came twice.
    `strangers`: collectors and assets that the directory does not know; if it is older than the frames, a
    newer one may. `received_at_ms`: when the last frame was received. `state`: for what comes next.
    """

    samples: SampleColumns
    logs: LogColumns
    snapshots: list[PlacedSnapshot]
    outcomes: list[PlacedOutcome]
    rejected: list[Rejection]
    last_seen: dict[str, int]
    repeated_count: int
    strangers: frozenset[str]
    received_at_ms: int
    state: DecodeState


def decode(frames: Sequence[tuple[Position, bytes]], directory: Directory, state: DecodeState) -> Decoded:
    """The frames, decoded and routed. Raises nothing for any bytes."""
    work = _Work(directory, dict(state.last_batch))
    for _, frame in frames:
        try:
            envelope = decode_envelope(frame)
        except ValueError as error:
            work.reject("queue", "", str(error), 0, frame)
            continue
        work.received_at_ms = max(work.received_at_ms, envelope.received_at_ms)
        if envelope.kind == "syslog":
            work.take_syslog(envelope)
        else:
            work.take_batch(envelope)
    return Decoded(
        work.samples.columns(),
        join_logs([work.syslog_columns(), work.logs.columns()]),
        work.snapshots,
        work.outcomes,
        work.rejected,
        work.last_seen,
        work.repeated_count,
        frozenset(work.strangers),
        work.received_at_ms,
        DecodeState(work.last_batch),
    )


def weigh(frame: bytes) -> int:
    """About how many bytes a frame has when it is decompressed; what cannot be told counts as the most."""
    try:
        envelope = decode_envelope(frame)
    except ValueError:
        return len(frame)
    if envelope.kind == "syslog":
        return len(envelope.body)
    try:
        size = zstandard.frame_content_size(envelope.body)
    except zstandard.ZstdError:
        return len(envelope.body)
    return min(size, BATCH_MAX_BYTES) if size >= 0 else BATCH_MAX_BYTES


@dataclass(slots=True)
class _Samples:
    """Samples of collectors, gathered row by row."""

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
class _Logs:
    """Log records of collectors, as LogRow."""

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


class _Work:
    """One decoding in progress."""

    def __init__(self, directory: Directory, last_batch: dict[str, int]) -> None:
        self._directory = directory
        self._unpack = zstandard.ZstdDecompressor(max_window_size=BATCH_MAX_BYTES)
        self.last_batch = last_batch
        self.samples, self.logs = _Samples(), _Logs()
        self.snapshots: list[PlacedSnapshot] = []
        self.outcomes: list[PlacedOutcome] = []
        self.rejected: list[Rejection] = []
        self.last_seen: dict[str, int] = {}
        self.strangers: set[str] = set()
        self.repeated_count = 0
        self.received_at_ms = 0
        self._syslog: list[tuple[Place, int, np.ndarray, memoryview]] = []

    def reject(
        self, door: str, sender: str, reason: str, at_ms: int, raw: bytes, *, client: str = "", count: int = 1
    ) -> None:
        """Note what could not be used."""
        self.rejected.append(Rejection(door, sender, reason, at_ms, raw[:RAW_MAX_BYTES], client, count))

    def take_syslog(self, envelope: Envelope) -> None:
        """Keep the lines of a known sender for parsing all together."""
        try:
            offsets, lines = unpack_lines(envelope.body)
        except ValueError as error:
            self.reject("syslog", envelope.peer, str(error), envelope.received_at_ms, envelope.body)
            return
        place = self._directory.place_of_peer(envelope.peer)
        if isinstance(place, Rejected):
            first = bytes(lines[: min(int(offsets[min(1, len(offsets) - 1)]), RAW_MAX_BYTES)])
            self.reject(
                "syslog", envelope.peer, place.reason, envelope.received_at_ms, first, count=len(offsets) - 1
            )
            return
        if len(offsets) > 1:
            self._syslog.append((place, envelope.received_at_ms, offsets, lines))

    def syslog_columns(self) -> LogColumns:
        """All kept lines, parsed at once and routed by sender and host name."""
        kept = self._syslog
        counts = [len(offsets) - 1 for _, _, offsets, _ in kept]
        bases = np.cumsum([0, *(int(offsets[-1]) for _, _, offsets, _ in kept)])
        starts = [offsets[:-1] + base for (_, _, offsets, _), base in zip(kept, bases, strict=False)]
        buffer = b"".join(lines for _, _, _, lines in kept)
        received = np.repeat(np.array([at_ms for _, at_ms, _, _ in kept], np.int64), counts)
        zones = [self._directory.zone_ms(place.client, at_ms) for place, at_ms, _, _ in kept]
        parsed = parse_syslog(
            buffer,
            np.concatenate([*starts, bases[-1:]]).astype(np.int64),
            received_at_ms=received,
            zone_ms=np.repeat(np.array(zones, np.int64), counts),
        )
        places = list(dict.fromkeys(place for place, _, _, _ in kept))
        number = {place: k for k, place in enumerate(places)}
        sender = np.repeat(np.array([number[place] for place, _, _, _ in kept], np.int64), counts)
        client, asset = self._route_hosts(places, sender, parsed.host)
        return LogColumns(
            client, asset, parsed.at_ms, received, parsed.severity, parsed.facility,
            parsed.source, parsed.host, parsed.message, parsed.raw, parsed.attrs,
        )  # fmt: skip

    def _route_hosts(
        self, places: list[Place], sender: np.ndarray, host: pa.Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Client and asset numbers; each pair of sender and host name is looked up once."""
        if not len(sender):
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        names = host.dictionary_encode()
        spelled = names.dictionary.to_pylist()
        pairs, where = np.unique(
            sender * len(spelled) + names.indices.to_numpy().astype(np.int64), return_inverse=True
        )
        found = []
        for pair in pairs.tolist():
            place, name = places[pair // len(spelled)], spelled[pair % len(spelled)]
            found.append(self._directory.place_of_host(name, place) if name else place)
        client = np.array([place.client_number for place in found], np.uint64)
        asset = np.array([place.asset_number for place in found], np.uint64)
        return client[where], asset[where]

    def take_batch(self, envelope: Envelope) -> None:
        """One sending of a collector."""
        collector = self._directory.collector(envelope.collector)
        at_ms, sender = envelope.received_at_ms, envelope.collector
        if collector is None or collector.client != envelope.client:
            self.strangers.add(envelope.collector)
            reason = f"the collector {sender} is not enrolled (any more): enrol it again"
            self.reject("agent", sender, reason, at_ms, b"", client=envelope.client)
            return
        try:
            batch = decode_batch(self._decompressed(envelope.body))
        except ValueError as error:
            self.reject("agent", sender, str(error), at_ms, envelope.body, client=envelope.client)
            return
        self.last_seen[sender] = max(at_ms, self.last_seen.get(sender, 0))
        last = self.last_batch.get(sender, 0)
        if batch.number <= last:
            self.repeated_count += 1
            if batch.number < last:
                reason = f"batch {batch.number} came after {last}: if that goes on, enrol the collector again"
                self.reject("agent", sender, reason, at_ms, b"", client=envelope.client)
            return
        self.last_batch[sender] = batch.number
        self._take_observations(collector, batch, at_ms)

    def _decompressed(self, body: bytes) -> bytes:
        """Raises ValueError when it is not zstd, or larger than a batch may be."""
        try:
            size = zstandard.frame_content_size(body)
            if size > BATCH_MAX_BYTES:
                raise ValueError(f"a batch has at most {BATCH_MAX_BYTES} bytes, this one {size}")
            return self._unpack.decompress(body, max_output_size=BATCH_MAX_BYTES)
        except zstandard.ZstdError as error:
            raise ValueError(f"not compressed with zstd: {error}") from error

    def _take_observations(self, collector: RoutedCollector, batch: Batch, at_ms: int) -> None:
        for part in batch.observations:
            asset = part.asset or collector.asset
            place = self._directory.place(asset, client=collector.client)
            if place is None:
                self.strangers.add(asset)
                self.reject(
                    "agent",
                    collector.id,
                    f"the asset {asset} is not of this collector's client: let it fetch its settings again",
                    at_ms,
                    b"",
                    client=collector.client,
                )
                continue
            self._take_part(collector, part, place, at_ms)

    def _take_part(self, collector: RoutedCollector, part: Observations, place: Place, at_ms: int) -> None:
        rows = [(s.at_ms, s.metric, s.item, s.value) for s in part.samples]
        for outcome in part.outcomes:
            self.outcomes.append(
                PlacedOutcome(place.client, place.asset, place.asset_number, collector.id, at_ms, outcome)
            )
            rows += _outcome_samples(outcome)
            if not outcome.ok:
                self.logs.rows.append(_outcome_log(outcome, place, at_ms))
        usable = [row for row in rows if -np.inf < row[3] < np.inf]
        if len(usable) < len(rows):
            odd = next(row for row in rows if not -np.inf < row[3] < np.inf)
            self.reject(
                "agent",
                collector.id,
                f"a sample of {odd[1]} is not a number ({odd[3]})",
                at_ms,
                b"",
                client=place.client,
                count=len(rows) - len(usable),
            )
        self.samples.add(place, usable, at_ms)
        self.logs.rows += [
            (place, r.at_ms, at_ms, r.severity, r.facility, r.source, r.message, _json(r.attrs))
            for r in part.logs
        ]
        self.snapshots += [
            PlacedSnapshot(place.client, place.asset, collector.id, at_ms, snapshot)
            for snapshot in part.snapshots
        ]


def _json(attrs: dict[str, str]) -> str:
    return msgspec.json.encode(attrs).decode() if attrs else ""


def _outcome_samples(outcome: Outcome) -> list[tuple[int, str, str, float]]:
    """The samples of a probe's run; whether it was up and how long it took are added if they are missing."""
    rows = [(s.at_ms, s.metric, s.item, s.value) for s in outcome.samples]
    told = {row[1] for row in rows}
    item = f"{outcome.kind} {outcome.target}"[:256]
    for metric, value in (("probe.up", float(outcome.ok)), ("probe.took_ms", outcome.took_ms)):
        if metric not in told:
            rows.append((outcome.at_ms, metric, item, value))
    return rows


def _outcome_log(outcome: Outcome, place: Place, at_ms: int) -> LogRow:
    """A failed run as a log record, so that it is found among the other lines."""
    attrs = _json({"kind": outcome.kind, "target": outcome.target, "answer": outcome.answer})
    return (place, outcome.at_ms, at_ms, PROBE_SEVERITY, PROBE_FACILITY, "probe", outcome.reason, attrs)


def join_logs(parts: Sequence[LogColumns]) -> LogColumns:
    """Log columns one after the other."""
    kept = [part for part in parts if len(part)]
    if len(kept) == 1:
        return kept[0]
    kept = kept or list(parts[:1])
    return LogColumns(
        *(
            np.concatenate([getattr(part, name) for part in kept])
            for name in ("client", "asset", "at_ms", "received_at_ms", "severity", "facility")
        ),
        *(
            pa.concat_arrays([getattr(part, name) for part in kept])
            for name in ("source", "host", "message", "raw", "attrs")
        ),
    )
