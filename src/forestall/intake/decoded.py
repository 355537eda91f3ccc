"""What decoding a stretch of a queue yields, and what the decoders of its kinds of frames share. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from forestall.intake.route import Directory
from forestall.intake.segments import START, Position
from forestall.intake.values import RAW_MAX_BYTES, Rejection
from forestall.kernel.backups import BackupReport
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.observations import Outcome, Snapshot

EARLY_MAX_MS = 5 * 60_000
EXAMPLE_MAX_CHARS = 500


class DecodeState(msgspec.Struct, frozen=True):
    """The number of the last batch that was taken from each collector, at a position of one queue: a batch
    that comes twice is taken once. So are frames that waited in quarantine (under the name QUARANTINE)."""

    last_batch: dict[str, int] = {}


QUARANTINE = "quarantine"

# (client, sender) → the positions between which its records went into quarantine, in one queue
Held = Mapping[tuple[str, str], Sequence[tuple[Position, Position]]]


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
class PlacedBackup:
    """A report of a backup, who sent it, and of which asset they say that it is."""

    client: str
    asset: str
    collector: str
    received_at_ms: int
    report: BackupReport


@dataclass(frozen=True, slots=True)
class Stray:
    """Records about nobody who is known: they wait in quarantine until somebody says whose they are.

    `sender` is an address or a host name, `client` whose token brought them ("": nobody's), `position` the
    end of the frame that they came in. `frame` holds them alone and can be fed to a queue again; empty when
    only the count is kept. `example` is what a person recognises them by.
    """

    door: str
    client: str
    sender: str
    reason: str
    position: Position
    received_at_ms: int
    count: int
    frame: bytes
    example: str


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
    strays: list[Stray] = field(default_factory=list)
    sided: bool = False
    backups: list[PlacedBackup] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """One decoding in progress: what the decoders of the kinds share. `position` is the end of the frame that
    is being decoded, `replayed`: one side took it before, with its strays."""

    directory: Directory
    last_batch: dict[str, int]
    snapshots: list[PlacedSnapshot] = field(default_factory=list)
    outcomes: list[PlacedOutcome] = field(default_factory=list)
    backups: list[PlacedBackup] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    last_seen: dict[str, int] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    strays: list[Stray] = field(default_factory=list)
    repeated_count: int = 0
    received_at_ms: int = 0
    sided: bool = False
    replayed: bool = False
    position: Position = START
    held: Held = field(default_factory=dict)

    def is_held(self, client: str, sender: str) -> bool:
        """Whether this frame's records of that sender went into quarantine when they were decoded before."""
        spans = self.held.get((client, sender), ())
        return any(first <= self.position <= last for first, last in spans)

    def reject(
        self, door: str, sender: str, reason: str, at_ms: int, raw: bytes, *, client: str = "", count: int = 1
    ) -> None:
        """Note what could not be used."""
        self.rejected.append(Rejection(door, sender, reason, at_ms, raw[:RAW_MAX_BYTES], client, count))

    def stray(
        self, door: str, sender: str, reason: str, *, client: str, at_ms: int, count: int, frame: bytes,
        example: str,
    ) -> None:  # fmt: skip
        """Note what is about nobody who is known."""
        if self.replayed:
            return
        shown = example.replace("\0", " ")[:EXAMPLE_MAX_CHARS]
        self.strays.append(Stray(door, client, sender, reason, self.position, at_ms, count, frame, shown))
