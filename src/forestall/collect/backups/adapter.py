"""What a backup tool's adapter (one file in `collect.jobs`) is asked, and what it answers.

An adapter only reads: it never writes to, prunes or unlocks a repository, and runs its tool by a fixed list
of arguments, never by a shell. Secrets reach the tool by its environment or a file that only the user can
read. A function that a tool has no use for is left out; the plan then says what it cannot prove.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from forestall.kernel.backups import Canary, CheckSeen, CopySeen, RepositoryReport, RunReport, Said
from forestall.kernel.plugins import Setting, Spec

Progress = Callable[[str, int, int], None]  # what is being done, done so far, of how many (0: not known)


Why = Literal["", "away", "key", "damaged", "tool", "locked"]  # as in RepositoryReport

# Settings that every tool has which keeps files as files: the comparison of a restore reads them.
FILE_SETTINGS = (
    Setting(
        "excludes", "Left out on purpose", "lines", default=[],
        help="Patterns of what this plan need not bring back, one a line: *.tmp, /srv/data/cache",
    ),
    Setting(
        "may_move", "May change during a run", "lines", default=[],
        help="Patterns of files that are written to while a run goes on and are proved otherwise: *.log",
    ),
)  # fmt: skip


class CannotProve(Exception):
    """What was to be proved could not even be tried: the text says why and what to do."""

    def __init__(self, text: str, *, why: Why = "tool") -> None:
        super().__init__(text)
        self.why: Why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A plan's repository with what opens it. `settings` come from SPEC.read. `scratch` is a directory of
    this run alone, which the caller empties; `keep` is one of the plan's own that stays on this machine
    (None: nothing is remembered); `run` starts a program at low priority within the limits of the run
    (`collect.backups.programs`)."""

    place: str
    sources: Sequence[str]
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    scratch: Path
    run: "RunProgram"
    now_ms: Callable[[], int]
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended. `code` negative: by that signal; `timed_out`: it was ended by us."""

    code: int
    out: bytes
    err: bytes
    took_ms: int
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """A program that runs beside us (a server on restored data), with the end of what it said."""

    pid: int
    said: Callable[[], bytes]
    running: Callable[[], bool]


class RunProgram(Protocol):
    """Runs a program to its end. Output beyond `most` bytes is cut (`out` keeps the beginning, `err` the
    end), `line` is called with every line of output; it reads nothing, or `in_from`. `user`: whom it runs as
    (a database refuses root).
    Raises CannotProve when there is no such program."""

    async def __call__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] = ...,
        cwd: Path | None = None,
        most: int = ...,
        line: Callable[[bytes], None] | None = None,
        out_to: Path | None = None,
        in_from: Path | None = None,
        user: str | None = None,
    ) -> Ended: ...

    def beside(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] = ...,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> AbstractAsyncContextManager["Beside"]:
        """A program that runs until the block ends. Raises CannotProve when there is no such program."""


@dataclass(frozen=True, slots=True)
class RunRead:
    """What a job's own exit code and output say, in the tool's version."""

    said: Said
    reason: str
    copy: str = ""
    files: int | None = None
    size: int | None = None
    files_new: int | None = None
    files_changed: int | None = None
    files_removed: int | None = None
    added: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put where. `root`: the directory under which the source's paths lie; `strip`: whether
    they lie there with their whole path (`/srv/data` as root/srv/data), or what was taken off their front.
    `checks` are what was noticed. `compared`: what came back is no tree of the source's files (a dump), and
    `checks` are the comparison with what was taken at the source; else the caller compares the tree with the
    manifest. `canary_at_ms`: of a canary that the adapter found itself (a row)."""

    root: Path
    strip: str = ""
    checks: Sequence[CheckSeen] = ()
    compared: bool = False
    canary_at_ms: int | None = None


class Adapter(Protocol):
    """The functions of an adapter's module. All raise CannotProve for what could not be tried.

    A module with `OWN_COMPARISON = True` needs no manifest: its restores say `compared`, and of the copies
    the newest one is restored.
    """

    SPEC: Spec

    def sources_of(self, command: Sequence[str]) -> Sequence[str]:
        """The paths that a job's command backs up, as they stand there."""

    def excludes_of(self, command: Sequence[str]) -> Sequence[str]:
        """What a job's command leaves out. Files that it names are read. Raises OSError."""

    def version_command(self, command: Sequence[str]) -> Sequence[str]:
        """What tells the version of the tool that a job's command runs; the number is found in its output."""

    def read_run(self, code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
        """What a run that was seen where it runs came to."""

    def plant(self, command: Sequence[str], *, plan: str, run: str, at_ms: int) -> Canary | None:
        """A canary in what the job's command is about to save (a row of a database); None when it cannot be
        seen where. Raises OSError, ValueError."""

    async def look(self, repository: Repository) -> RepositoryReport:
        """The copies, locks and room (`plan` is filled in by the caller)."""

    async def check(self, repository: Repository, tell: Progress) -> Sequence[CheckSeen]:
        """Level 2: is the structure sound?"""

    async def read_slice(
        self, repository: Repository, part: int, of: int, *, tell: Progress
    ) -> Sequence[CheckSeen]:
        """Level 3: read back part `part` (from 1) of `of`, always the same data for the same part."""

    async def restore(
        self, repository: Repository, copy: CopySeen, *, into: Path, tell: Progress
    ) -> Restored:
        """Level 4: restore this copy, by its own key, into an empty directory."""

    async def serve(
        self, repository: Repository, restored: Restored, *, tell: Progress
    ) -> Sequence[CheckSeen]:
        """Level 5: run the service on what was restored and check its invariants."""

    def run_of_copy(self, copy: CopySeen) -> RunReport | None:
        """A run that is known only by the copy that it made."""
