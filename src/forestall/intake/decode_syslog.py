"""Syslog frames of the durable queue, all parsed at once and routed by sender and host name."""

import numpy as np
import pyarrow as pa

from forestall.collect.parsers.syslog import parse_syslog
from forestall.intake.envelope import unpack_lines
from forestall.intake.route import Directory, Place
from forestall.kernel.columns import LogColumns

PAIRS_MAX = 4_000_000  # of senders and names; for more, sorting needs less memory


class SyslogLines:
    """The lines of known senders, gathered from many frames."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._syslog: list[tuple[Place, int, np.ndarray, memoryview]] = []

    def take(self, body: bytes, place: Place, received_at_ms: int) -> None:
        """The lines of one frame (`pack_lines`). Raises ValueError when it is damaged."""
        offsets, lines = unpack_lines(body)
        if len(offsets) > 1:
            self._syslog.append((place, received_at_ms, offsets, lines))

    def columns(self) -> LogColumns:
        """All kept lines, parsed at once and routed by sender and host name."""
        kept = self._syslog
        if not kept:
            return _no_lines()
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
            parsed.source, parsed.host, parsed.message, parsed.raw, parsed.attrs, parsed.form, parsed.rest,
        )  # fmt: skip

    def _route_hosts(
        self, places: list[Place], sender: np.ndarray, host: pa.DictionaryArray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Client and asset numbers; each pair of sender and host name is looked up once."""
        if not len(sender):
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        spelled = host.dictionary.to_pylist()
        pair = sender * len(spelled) + host.indices.to_numpy()
        if len(places) * len(spelled) <= PAIRS_MAX:
            there = np.zeros(len(places) * len(spelled), np.bool_)
            there[pair] = True
            pairs = np.flatnonzero(there)
            where = (np.cumsum(there) - 1)[pair]
        else:
            pairs, where = np.unique(pair, return_inverse=True)
        found = []
        for pair in pairs.tolist():
            place, name = places[pair // len(spelled)], spelled[pair % len(spelled)]
            found.append(self._directory.place_of_host(name, place) if name else place)
        client = np.array([place.client_number for place in found], np.uint64)
        asset = np.array([place.asset_number for place in found], np.uint64)
        return client[where], asset[where]


def _no_lines() -> LogColumns:
    """Nothing, without having the parser compiled for it."""
    number, small, text = np.zeros(0, np.uint64), np.zeros(0, np.uint8), pa.array([], pa.string())
    time = np.zeros(0, np.int64)
    return LogColumns(number, number, time, time, small, small, text, text, text, text, text)
