"""Backups on the wire: what a collector is asked to watch, and what it saw of runs, repositories and proofs.

Like `kernel.observations`: msgpack, validated while decoding, times in ms since 1970 UTC, sizes in bytes.
None means that it is not known, never zero.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

SOURCES_MAX = 64
COPIES_MAX = 2_000  # of one look: the newest
LOCKS_MAX = 100
CHECKS_MAX = 100
MISMATCHES_MAX = 100  # named in a proof; all are counted
OUTPUT_MAX_CHARS = 16_384
EXCLUDES_MAX = 500
TASKS_MAX = 16
MOVED_MAX = 50
BOUND_MAX = 60
SHORT_KEY = 8

Name = Annotated[str, Meta(max_length=128)]
Path = Annotated[str, Meta(max_length=1024)]
Reason = Annotated[str, Meta(max_length=2048)]
Key = Annotated[str, Meta(max_length=160)]  # a snapshot's or an archive's own identifier, or a file's name
Hash = Annotated[str, Meta(max_length=64)]  # SHA-256, hexadecimal
Count = Annotated[int, Meta(ge=0, lt=1 << 53)]
Milliseconds = Annotated[int, Meta(ge=0, lt=1 << 53)]

Said = Literal["running", "success", "warning", "failed", "unknown"]
By = Literal["job", "repository", "log", "mail", "heartbeat"]
Work = Literal["look", "check", "read", "drill", "service", "elsewhere"]

# What each work proves (the ladder of proof): a look finds runs (0, and 1 where they are plausible).
LEVEL_OF_WORK: dict[Work, int] = {"look": 1, "check": 2, "read": 3, "drill": 4, "service": 5, "elsewhere": 6}


class SourceSeen(Struct, frozen=True):
    """One source of a plan where it is, before a run. `there` False: it does not exist, or cannot be read
    (`problem`). `mount` is what is mounted there: device and type of the file system that holds it;
    `is_mount`: the path is itself a mount point. `entries` and `size` are of the files below it."""

    path: Path
    there: bool
    mount: Name = ""
    is_mount: bool = False
    entries: Count | None = None
    size: Count | None = None
    problem: Reason = ""


class Canary(Struct, frozen=True):
    """What was planted at the source: a file (or row) whose `nonce` was made at `at_ms` for one run."""

    nonce: Hash
    at_ms: Milliseconds
    where: Path = ""


class Manifest(Struct, frozen=True):
    """The hashes that were taken at the source, by their root: what a restore is compared with. `moving`:
    files that changed while the run went on, whose content nobody can vouch for; `moved` names the first."""

    root: Hash
    at_ms: Milliseconds
    files: Count
    size: Count
    moving: Count = 0
    moved: Annotated[list[Path], Meta(max_length=MOVED_MAX)] = []


class RunReport(Struct, frozen=True, kw_only=True, tag="run"):
    """One run of a backup job. `run` is stable: reports of the same run replace each other.

    `by`: "job" – its beginning and end were seen where it runs; "repository" – a new copy was found there;
    "log", "mail", "heartbeat" – the job told it itself. `said` is what the tool's exit code and output mean
    in its version. `copy` is the copy that it made. `added`: bytes that the repository grew by; `entropy`: of
    a sample of changed files, bits per byte; `renamed`: files whose name changed and content did not, or
    that vanished while one with a further ending appeared.
    """

    plan: Annotated[str, Meta(max_length=13)]
    run: Key
    at_ms: Milliseconds  # when this was seen
    by: By
    said: Said
    began_ms: Milliseconds | None = None
    ended_ms: Milliseconds | None = None
    reason: Reason = ""
    tool: Name = ""
    version: Name = ""
    exit_code: Annotated[int, Meta(ge=-1024, le=1 << 32)] | None = None
    output: Annotated[str, Meta(max_length=OUTPUT_MAX_CHARS)] = ""  # its end, secrets masked
    copy: Key = ""
    files: Count | None = None
    size: Count | None = None
    files_new: Count | None = None
    files_changed: Count | None = None
    files_removed: Count | None = None
    added: Count | None = None
    entropy: Annotated[float, Meta(ge=0, le=8)] | None = None
    renamed: Count | None = None
    sources: Annotated[list[SourceSeen], Meta(max_length=SOURCES_MAX)] = []
    excludes: Annotated[list[Path], Meta(max_length=EXCLUDES_MAX)] | None = None
    canary: Canary | None = None
    manifest: Manifest | None = None


class CopySeen(Struct, frozen=True, kw_only=True):
    """One copy in a repository: a snapshot, an archive, a dump. `at_ms` is what the tool says of it."""

    key: Key
    at_ms: Milliseconds
    host: Name = ""
    paths: Annotated[list[Path], Meta(max_length=SOURCES_MAX)] = []
    files: Count | None = None
    size: Count | None = None
    added: Count | None = None
    problem: Reason = ""  # it is there and cannot be what it should be: empty, cut short, of another format


class LockSeen(Struct, frozen=True):
    """A lock on a repository, since `at_ms`."""

    key: Key
    at_ms: Milliseconds
    who: Name = ""
    exclusive: bool = False


class RepositoryReport(Struct, frozen=True, kw_only=True, tag="repository"):
    """What a look into a repository with a read-only key found. `opened` False: it did not open, `reason`
    says why in words and `why` what kind of reason that is. `copies` are the newest, `copies_total` all.
    `free` and `room` are of where it lies, None when that cannot be seen. `settings`: what decides about
    content and retention there, by name, for comparison over time (`append_only`, `prune keep daily`)."""

    plan: Annotated[str, Meta(max_length=13)]
    at_ms: Milliseconds
    opened: bool
    why: Literal["", "away", "key", "damaged", "tool", "locked"] = ""
    reason: Reason = ""
    tool: Name = ""
    version: Name = ""
    copies: Annotated[list[CopySeen], Meta(max_length=COPIES_MAX)] = []
    copies_total: Count = 0
    locks: Annotated[list[LockSeen], Meta(max_length=LOCKS_MAX)] = []
    used: Count | None = None
    free: Count | None = None
    room: Count | None = None
    mount: Name = ""
    settings: dict[str, Path] = {}


class CheckSeen(Struct, frozen=True):
    """One thing that a proof checked, what came of it in words, and how long it took."""

    name: Name
    ok: bool
    said: Reason
    took_ms: Count = 0


class Mismatch(Struct, frozen=True):
    """A file that is not as it was at the source: `what` is "missing", "differs", "shorter", "added", …"""

    path: Path
    what: Name


class ProofReport(Struct, frozen=True, kw_only=True, tag="proof"):
    """An attempt to prove that a plan's copies are good. `proof` is stable. `skipped`: it could not be tried,
    which has failed. `slice_of` n of t: the share that was read back. `canary_at_ms`: when the newest canary
    that came back was planted. `rpo_ms`: age of that canary when the drill began; `rto_ms`: from asking for
    the key to the last check."""

    plan: Annotated[str, Meta(max_length=13)]
    proof: Key
    work: Work
    began_ms: Milliseconds
    ended_ms: Milliseconds
    ok: bool
    reason: Reason
    skipped: bool = False
    copy: Key = ""
    copy_at_ms: Milliseconds | None = None
    tool: Name = ""
    version: Name = ""
    machine: Name = ""
    slice_of: tuple[int, int] | None = None
    manifest: Manifest | None = None
    files_expected: Count | None = None
    files_equal: Count | None = None
    size: Count | None = None  # bytes that were compared or read
    mismatches: Annotated[list[Mismatch], Meta(max_length=MISMATCHES_MAX)] = []
    mismatches_total: Count = 0
    canary_at_ms: Milliseconds | None = None
    rpo_ms: Count | None = None
    rto_ms: Count | None = None
    checks: Annotated[list[CheckSeen], Meta(max_length=CHECKS_MAX)] = []


class ProgressReport(Struct, frozen=True, kw_only=True, tag="progress"):
    """How far a proof that is going on is. `total` 0: nobody knows."""

    plan: Annotated[str, Meta(max_length=13)]
    proof: Key
    work: Work
    at_ms: Milliseconds
    doing: Name
    done: Count = 0
    total: Count = 0
    unit: Literal["bytes", "files", "steps"] = "bytes"


class UncoveredSeen(Struct, frozen=True):
    """Something worth keeping on a machine: `what` is "volume", "database", "folder"; `name` finds it."""

    what: Literal["volume", "database", "folder", "mailbox", "machine"]
    name: Path
    size: Count | None = None
    said: Name = ""


class WorthReport(Struct, frozen=True, kw_only=True, tag="worth"):
    """All that a machine holds that a plan should cover: volumes with data, databases. Of the machine itself,
    not of a plan."""

    at_ms: Milliseconds
    things: Annotated[list[UncoveredSeen], Meta(max_length=500)] = []


BackupReport = RunReport | RepositoryReport | ProofReport | ProgressReport | WorthReport


class WorkOrder(Struct, frozen=True):
    """How often a work is to be done; `service`: which of the plan's checks of a restored service."""

    work: Work
    every_s: Annotated[float, Meta(ge=60, le=366 * 86_400)]
    timeout_s: Annotated[float, Meta(ge=10, le=7 * 86_400)] = 6 * 3600.0


class WantedWork(Struct, frozen=True):
    """A work that a person asked for: done once, as the proof of this identifier."""

    proof: Key
    work: Work
    at_ms: Milliseconds


class Bound(Struct, frozen=True, kw_only=True):
    """What the server was told of a run when it ended: what a restore of its copy is held against, whoever
    restores it. A manifest that lies somewhere else counts only with this root."""

    run: Key
    copy: Key = ""
    manifest: Manifest | None = None
    canary: Canary | None = None


class BackupOrder(Struct, frozen=True, kw_only=True):
    """A plan, for the collector that watches it. `tool` names the adapter (`collect.jobs`), `settings` are
    its own, checked by its SPEC; `secrets` by name (`password`, `key`, …) in plain text: never logged, never
    kept, never in an argument of a program. `slices`: into how many parts a full reading is divided.
    `sandbox_max`: bytes that a restore may take. `bound`: of the newest runs with a manifest or a canary, the
    newest first."""

    id: str
    asset: str
    name: str
    tool: str
    repository: str
    sources: list[str] = []
    settings: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    works: list[WorkOrder] = []
    wanted: list[WantedWork] = []
    slices: Annotated[int, Meta(ge=1, le=366)] = 30
    sandbox_max: Count = 0  # 0: what the collector allows
    bound: Annotated[list[Bound], Meta(max_length=BOUND_MAX)] = []

    def __repr__(self) -> str:
        return f"BackupOrder(id={self.id!r}, name={self.name!r}, tool={self.tool!r})"


def same_copy(one: str, other: str) -> bool:
    """Whether two keys mean the same copy: a tool's output may have only the beginning of its identifier."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= SHORT_KEY and long.startswith(short))
