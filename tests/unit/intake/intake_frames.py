"""Frames and a directory for the tests of the intake."""

import zstandard

from forestall.intake.envelope import Envelope, encode_envelope, pack_lines
from forestall.intake.route import Directory, RoutedAsset, RoutedCollector
from forestall.kernel.ids import from_number
from forestall.kernel.observations import Batch, Observations, encode_batch

NOW_MS = 1_795_428_030_000  # 2026-11-23T10:00:30Z
ACME, OTHER = from_number(1), from_number(2)
SERVER, SWITCH, FOREIGN = from_number(11), from_number(12), from_number(21)
AGENT = from_number(31)


def make_directory(loaded_at_ms: int = NOW_MS + 1) -> Directory:
    """Two clients; the first has a server with an agent, and a switch."""
    return Directory(
        [
            RoutedAsset(SERVER, ACME, "srv1.acme.example", ("10.0.0.5", "2001:DB8::5", "mail")),
            RoutedAsset(SWITCH, ACME, "Switch-1", ("10.0.0.6", "10.9.9.9")),
            RoutedAsset(FOREIGN, OTHER, "srv1", ("10.1.0.5", "10.9.9.9")),
        ],
        [RoutedCollector(AGENT, ACME, SERVER)],
        zones={ACME: "America/New_York"},
        loaded_at_ms=loaded_at_ms,
    )


def syslog_frame(lines: list[bytes], peer: str = "10.0.0.5", at_ms: int = NOW_MS) -> bytes:
    """Lines of a sender."""
    return encode_envelope(Envelope("syslog", at_ms, "", "", peer, pack_lines(lines), "udp"))


def batch_frame(
    number: int, *observations: Observations, at_ms: int = NOW_MS, collector: str = AGENT, client: str = ACME
) -> bytes:
    """A sending of the agent."""
    body = zstandard.compress(encode_batch(Batch(number, at_ms, list(observations))))
    return encode_envelope(Envelope("observations", at_ms, client, collector, "192.0.2.1", body))
