"""Batches of our own collectors, one frame each."""

import msgspec
import numpy as np
import zstandard

from forestall.intake.decode_rows import LogRows, SampleRows, attrs_json, outcome_log, outcome_samples
from forestall.intake.decoded import PlacedBackup, PlacedOutcome, PlacedSnapshot, Work
from forestall.intake.envelope import Envelope
from forestall.intake.route import Place, RoutedCollector
from forestall.kernel.observations import BATCH_MAX_BYTES, Batch, Observations, decode_batch


class Batches:
    """Takes batches apart."""

    def __init__(self, work: Work, samples: SampleRows, logs: LogRows) -> None:
        self._work = work
        self._samples, self._logs = samples, logs
        self._unpack = zstandard.ZstdDecompressor(max_window_size=BATCH_MAX_BYTES)

    def take(self, envelope: Envelope) -> None:
        """One sending of a collector."""
        collector = self._work.directory.collector(envelope.collector)
        at_ms, sender = envelope.received_at_ms, envelope.collector
        if collector is None or collector.client != envelope.client:
            self._work.strangers.add(envelope.collector)
            reason = f"the collector {sender} is not enrolled (any more): enrol it again"
            self._work.reject("agent", sender, reason, at_ms, b"", client=envelope.client)
            return
        try:
            batch = decode_batch(self._decompressed(envelope.body))
        except ValueError as error:
            self._work.reject("agent", sender, str(error), at_ms, envelope.body, client=envelope.client)
            return
        self._work.last_seen[sender] = max(at_ms, self._work.last_seen.get(sender, 0))
        last = self._work.last_batch.get(sender, 0)
        if batch.number <= last and not envelope.again:  # what was set aside comes out of turn
            self._work.repeated_count += 1
            if batch.number < last:
                reason = f"batch {batch.number} came after {last}: if that goes on, enrol the collector again"
                self._work.reject("agent", sender, reason, at_ms, b"", client=envelope.client)
            return
        self._work.last_batch[sender] = max(last, batch.number)
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
            place = self._work.directory.place(asset, client=collector.client)
            if place is None:
                self._work.strangers.add(asset)
                self._work.reject(
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
        snapshots = list(part.snapshots)
        for outcome in part.outcomes:
            if outcome.snapshots:
                snapshots += outcome.snapshots
                outcome = msgspec.structs.replace(outcome, snapshots=[])
            self._work.outcomes.append(
                PlacedOutcome(place.client, place.asset, place.asset_number, collector.id, at_ms, outcome)
            )
            rows += outcome_samples(outcome)
            if not outcome.ok:
                self._logs.rows.append(outcome_log(outcome, place, at_ms))
        usable = [row for row in rows if -np.inf < row[3] < np.inf]
        if len(usable) < len(rows):
            odd = next(row for row in rows if not -np.inf < row[3] < np.inf)
            self._work.reject(
                "agent",
                collector.id,
                f"a sample of {odd[1]} is not a number ({odd[3]})",
                at_ms,
                b"",
                client=place.client,
                count=len(rows) - len(usable),
            )
        self._samples.add(place, usable, at_ms)
        self._logs.rows += [
            (place, r.at_ms, at_ms, r.severity, r.facility, r.source, r.message, attrs_json(r.attrs))
            for r in part.logs
        ]
        self._work.backups += [
            PlacedBackup(place.client, place.asset, collector.id, at_ms, report) for report in part.backups
        ]
        self._work.snapshots += [
            PlacedSnapshot(place.client, place.asset, collector.id, at_ms, snapshot) for snapshot in snapshots
        ]
