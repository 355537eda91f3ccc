"""The simulation's time: minute by minute the world is observed, sent, decoded, judged, told.

Everything from the frames of the queue to the ledger is production code; only the clock, the store that
evidence is read from and the sending of messages are the simulation's own.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import zstandard

from forestall.alerts.channels import create_channel
from forestall.alerts.deliver import deliver_due
from forestall.alerts.values import Message
from forestall.estate.enrolment import server_collector
from forestall.estate.models import Asset, Client, Collector, Probe
from forestall.estate.tenancy import system_scope
from forestall.findings.models import Finding
from forestall.intake.decode import Decoded, DecodeState, decode
from forestall.intake.envelope import Envelope, encode_envelope
from forestall.intake.queries import load_directory
from forestall.intake.segments import Position
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.kernel.clock import VirtualClock, from_ms, to_ms
from forestall.kernel.ids import identifiers_from, to_number
from forestall.kernel.observations import Batch, Observations, encode_batch
from forestall.processes.demo import put_into_estate
from forestall.processes.judging import Judging
from forestall.processes.reckoning import Told, reckon
from forestall.processes.road import Road
from forestall.processes.world import HOUR_MS, MINUTE_MS, Business, World, make_businesses, plan_faults

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
TICKS_MS = (0, 15_000)  # within a minute; the second is when a group wait is over
DELIVER_MOST = 200
ESTATE_EVERY_MS = 10 * MINUTE_MS  # nobody changes this estate
REMEMBERED = 45  # minutes that evidence can look back on
SCOPE = system_scope("simulation")


class Memory:
    """The last minutes in memory, where evidence is read from (`alerts.evidence.Reader`)."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._minutes: deque[Decoded] = deque(maxlen=REMEMBERED)

    def keep(self, decoded: Decoded) -> None:
        """Remember a minute; the oldest is forgotten."""
        self._minutes.append(decoded)

    def series(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for samples in (decoded.samples for decoded in self._minutes):
            for row in self._rows(samples.asset, samples.at_ms, finding, from_at, to_at):
                key = (samples.metric[row].as_py(), samples.item[row].as_py())
                one = found.setdefault(key, {"metric": key[0], "item": key[1], "at_ms": [], "mean": []})
                one["at_ms"].append(int(samples.at_ms[row]))
                one["mean"].append(float(samples.value[row]))
        return [found[key] for key in sorted(found)]

    def log_lines(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        return [
            {
                "at_ms": int(logs.at_ms[row]),
                "severity": int(logs.severity[row]),
                "source": logs.source[row].as_py(),
                "message": logs.message[row].as_py(),
            }
            for logs in (decoded.logs for decoded in self._minutes)
            for row in self._rows(logs.asset, logs.at_ms, finding, from_at, to_at)
        ]

    def snapshots(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        return []

    def changes(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        return []

    def pack(self, finding: Finding, *, timeout_s: float) -> dict[str, Any]:
        return {
            "name": finding.pack,
            "version": finding.pack_version,
            "text": self._texts.get(finding.pack, ""),
        }

    @staticmethod
    def _rows(
        asset: np.ndarray, at_ms: np.ndarray, finding: Finding, from_at: datetime, to_at: datetime
    ) -> list[int]:
        mine = asset == np.uint64(to_number(finding.asset_id))
        rows: list[int] = np.flatnonzero(mine & (at_ms >= to_ms(from_at)) & (at_ms <= to_ms(to_at))).tolist()
        return rows


class Sending:
    """What the businesses' collectors send: one frame per machine with an agent, one of the server's own
    probes per client."""

    def __init__(self, businesses: Sequence[Business], *, begins: datetime) -> None:
        self._agent: dict[str, str] = {}
        self._server: dict[str, str] = {}
        self._number = 0
        self._compress = zstandard.ZstdCompressor(level=1)
        for business in businesses:
            self._server[business.client] = server_collector(business.client, asset=business.things[0].asset)
            for thing in business.things:
                if thing.kind == "server":
                    self._agent[thing.asset] = Collector.objects.create(
                        client_id=business.client,
                        asset_id=thing.asset,
                        public_key=bytes(32),
                        key_since=begins,
                        enrolled_at=begins,
                        platform="linux",
                    ).pk
                if thing.probe:
                    kind, target = thing.probe.split(" ", 1)
                    Probe.objects.create(
                        client_id=business.client,
                        asset_id=thing.asset,
                        kind=kind,
                        target=target,
                        interval_s=60,
                    )

    def frames(
        self, observed: Sequence[tuple[Business, Observations]], at_ms: int
    ) -> list[tuple[Position, bytes]]:
        """A minute as frames of the queue."""
        self._number += 1
        parts: dict[tuple[str, str], list[Observations]] = {}
        for business, one in observed:
            collector = self._agent[one.asset] if one.samples else self._server[business.client]
            parts.setdefault((business.client, collector), []).append(one)
        frames = []
        for n, ((client, collector), sent) in enumerate(parts.items()):
            batch = Batch(number=self._number, sent_at_ms=at_ms, observations=sent)
            body = self._compress.compress(encode_batch(batch))
            envelope = Envelope("observations", at_ms, client, collector, "", body)
            frames.append((Position(self._number, n), encode_envelope(envelope)))
        return frames


def simulate(*, clients: int, seed: int, hours: int) -> dict[str, Any]:
    """Run it on an empty, migrated database; what `SimulationResult` takes of it."""
    rng = random.Random(seed)  # noqa: S311 - a world, not a secret
    clock = VirtualClock(BEGINS)
    bits = random.Random(rng.getrandbits(64))  # noqa: S311
    with identifiers_from(lambda: to_ms(clock.now()), bits.getrandbits):
        return _Run(rng, clock, clients=clients, hours=hours).through()


class _Run:
    def __init__(self, rng: random.Random, clock: VirtualClock, *, clients: int, hours: int) -> None:
        self._clock = clock
        self._begins_ms = to_ms(BEGINS)
        self._minutes = hours * 60
        self._businesses = make_businesses(rng, clients)
        for business in self._businesses:
            put_into_estate(business, demo=False)
        for model in (Client, Asset):  # the tables note the wall clock; here it is the virtual one's time
            model.objects.update(created_at=BEGINS)
        faults = plan_faults(
            rng, self._businesses, from_ms=self._begins_ms, to_ms=self._begins_ms + hours * HOUR_MS
        )
        self._world = World(rng, self._businesses, faults)
        self._sending = Sending(self._businesses, begins=BEGINS)
        create_channel(
            SCOPE,
            notifier="webhook",
            title="Simulated",
            given={"url": "https://simulated.invalid/", "secret": "simulated"},
            now=BEGINS,
        )
        book = load_packs(builtin_packs())
        self._memory = Memory(book.texts)
        self._judging = Judging(Judge(book), Road(self._memory), clock, estate_every_ms=ESTATE_EVERY_MS)
        self._directory = load_directory(SCOPE, clock)
        self._state = DecodeState()
        self._told: list[Told] = []
        self._observations = 0

    def through(self) -> dict[str, Any]:
        """All minutes, then the reckoning."""
        for minute in range(self._minutes):
            self._live(self._begins_ms + minute * MINUTE_MS)
        reckoned = reckon(self._businesses, self._world.faults, self._told)
        return {
            "assets": sum(len(business.things) for business in self._businesses),
            "observations": self._observations,
            **reckoned,
        }

    def _live(self, minute_ms: int) -> None:
        observed = list(self._world.at(minute_ms))
        for tick_ms in TICKS_MS:
            now_ms = minute_ms + tick_ms
            self._clock.set(from_ms(now_ms))
            if not tick_ms:
                decoded = decode(self._sending.frames(observed, now_ms), self._directory, self._state)
                if decoded.rejected:
                    raise RuntimeError(f"the intake refused the world: {decoded.rejected[0].reason}")
                self._state = decoded.state
                self._memory.keep(decoded)
                self._observations += len(decoded.samples) + len(decoded.logs)
                self._judging.step(decoded)
            self._judging.tick(now_ms)
            deliver_due(self._clock.now() + timedelta(milliseconds=1), most=DELIVER_MOST, send=self._hear)

    def _hear(self, notifier: str, settings: Mapping[str, Any], message: Message) -> None:
        self._told.append(Told(at=self._clock.now(), message=message))
