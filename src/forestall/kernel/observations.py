"""What anything observes, and the batch in which it travels from a collector to the intake.

These are the wire types (msgpack, field order matters not, unknown fields are ignored), so decoding
validates: types, lengths and counts have limits. Times are milliseconds since 1970 UTC.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from forestall.kernel.backups import BackupReport

BATCH_MAX_BYTES = 8 << 20
TEXT_MAX_BYTES = 4 << 20
ANSWER_MAX_CHARS = 4096
OUTCOME_SNAPSHOTS_MAX = 50
SIGHTINGS_MAX = 5_000
BACKUPS_MAX = 1_000
LINKS_MAX = 20_000

Name = Annotated[str, Meta(max_length=128)]
Item = Annotated[str, Meta(max_length=256)]
Milliseconds = Annotated[int, Meta(ge=0, lt=1 << 53)]


class Sample(Struct, frozen=True, array_like=True):
    """A number: `metric` (dotted, unit last: `disk.used_bytes`) of one `item` (mount, interface, or "")."""

    at_ms: Milliseconds
    metric: Name
    item: Item
    value: float


class LogRecord(Struct, frozen=True):
    """A line of a log. `severity` (0 to 7) and `facility` as in RFC 5424; `source` is the program."""

    at_ms: Milliseconds
    severity: Annotated[int, Meta(ge=0, le=7)]
    source: Name
    message: Annotated[str, Meta(max_length=262_144)]
    facility: Annotated[int, Meta(ge=0, le=23)] = 1
    attrs: dict[str, str] = {}


class Snapshot(Struct, frozen=True):
    """Configuration text of one `kind` (`sshd_config`, `packages`, …), secrets already masked.

    `problem` non-empty means that the capture was refused or cut short: a finding, never a version.
    """

    at_ms: Milliseconds
    kind: Name
    text: Annotated[str, Meta(max_length=TEXT_MAX_BYTES)]
    title: Name = ""
    problem: Annotated[str, Meta(max_length=1024)] = ""
    signed_in: list[str] = []


class Sighting(Struct, frozen=True):
    """A device that a sweep of a site saw: one for all of its addresses, as far as it says that they are its.

    `mac` is as the neighbour table has it, `macs` and `addresses` what the device says of itself (by SNMP);
    `services` are what its ports said, `by` by what it was seen (`ping`, `neighbours`, `snmp`, `mdns`, …).
    """

    at_ms: Milliseconds
    address: Annotated[str, Meta(max_length=45)]
    mac: Annotated[str, Meta(max_length=17)] = ""
    names: Annotated[list[Name], Meta(max_length=8)] = []
    vendor: Name = ""
    ports: Annotated[list[int], Meta(max_length=64)] = []
    services: Annotated[list[Name], Meta(max_length=16)] = []
    description: Annotated[str, Meta(max_length=512)] = ""
    object_id: Name = ""
    by: Annotated[list[Name], Meta(max_length=16)] = []
    addresses: Annotated[list[Name], Meta(max_length=64)] = []
    macs: Annotated[list[Name], Meta(max_length=256)] = []
    forwards: bool = False


class Link(Struct, frozen=True):
    """What one device says of its wire: behind `port` of the device at `local` (an address) it knows
    something by `protocol` (`lldp`, `cdp`, `fdb`, `arp`, `route`). `bundle` is the aggregated port that
    `port` is a part of; `blocked`: spanning tree lets nothing through. What it does not say of it is ""."""

    protocol: Annotated[str, Meta(max_length=8)]
    local: Annotated[str, Meta(max_length=45)]
    port: Name
    mac: Annotated[str, Meta(max_length=17)] = ""
    address: Annotated[str, Meta(max_length=45)] = ""
    name: Name = ""
    remote_port: Name = ""
    bundle: Name = ""
    blocked: bool = False


class Sweep(Struct, frozen=True):
    """What a sweep of a site found. `asked` counts the addresses that were asked, `cut` what was left out,
    by what it was; `whole`: every declared address was asked, not only a part of them."""

    sightings: Annotated[list[Sighting], Meta(max_length=SIGHTINGS_MAX)] = []
    links: Annotated[list[Link], Meta(max_length=LINKS_MAX)] = []
    asked: Annotated[int, Meta(ge=0)] = 0
    whole: bool = True
    cut: dict[str, int] = {}


class Outcome(Struct, frozen=True):
    """What one run of a probe found.

    `ok` is whether the probe's own expectation held; `reason` says why not (or what was seen) in words;
    `answer` is the raw answer, cut to ANSWER_MAX_CHARS, which evidence keeps; `snapshots` are configurations
    that the probe took, of the asset that it asks; `sweep` is what a sweep of its site found.
    """

    at_ms: Milliseconds
    probe: Name
    kind: Name
    target: Annotated[str, Meta(max_length=512)]
    ok: bool
    reason: Annotated[str, Meta(max_length=1024)]
    took_ms: float
    answer: Annotated[str, Meta(max_length=ANSWER_MAX_CHARS)] = ""
    samples: list[Sample] = []
    snapshots: Annotated[list[Snapshot], Meta(max_length=OUTCOME_SNAPSHOTS_MAX)] = []
    sweep: Sweep | None = None


class Observations(Struct, frozen=True):
    """All that was observed of one asset in one sending.

    `asset` is the asset's identifier, or "" for the collector's own machine.
    """

    asset: Annotated[str, Meta(max_length=13)] = ""
    samples: Annotated[list[Sample], Meta(max_length=50_000)] = []
    logs: Annotated[list[LogRecord], Meta(max_length=20_000)] = []
    snapshots: Annotated[list[Snapshot], Meta(max_length=500)] = []
    outcomes: Annotated[list[Outcome], Meta(max_length=5_000)] = []
    backups: Annotated[list[BackupReport], Meta(max_length=BACKUPS_MAX)] = []


class Batch(Struct, frozen=True):
    """One sending of a collector. `number` starts from the clock, grows with every batch of that collector
    and may jump (a restart leaves some out): a batch that comes twice (the acknowledgement was lost) is taken
    once, and a gap means nothing."""

    number: Annotated[int, Meta(ge=1, lt=1 << 53)]
    sent_at_ms: Milliseconds
    observations: Annotated[list[Observations], Meta(max_length=2_000)]
    dropped: Annotated[int, Meta(ge=0)] = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """The batch as msgpack."""
    return _encoder.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """The batch of a msgpack body. Raises ValueError that names the field when it is not one."""
    if len(data) > BATCH_MAX_BYTES:
        raise ValueError(f"a batch has at most {BATCH_MAX_BYTES} bytes, this one {len(data)}")
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a batch of observations: {error}") from error
