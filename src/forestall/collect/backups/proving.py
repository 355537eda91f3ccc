"""One proof: a plan's copy is checked, read back, or restored and held against what was taken at its source.

Everything that a restore is held against was known before it: the manifest's root and the canary's nonce,
from this machine's own record of the run, and from the server (`BackupOrder.bound`), whose word counts more.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from forestall.collect.backups.adapter import CannotProve, Repository, Restored
from forestall.collect.backups.background import in_background
from forestall.collect.backups.canary import DIRECTORY, MANIFEST
from forestall.collect.backups.compare import (
    CanaryBack,
    Compared,
    compare,
    find_canary,
    inside,
    restored_path,
)
from forestall.collect.backups.excluding import excluded
from forestall.collect.backups.manifest import Damaged, read_tail
from forestall.collect.backups.records import Records, plan_settings
from forestall.collect.backups.sandbox import Sandbox
from forestall.kernel.backups import (
    CHECKS_MAX,
    BackupOrder,
    Bound,
    CheckSeen,
    CopySeen,
    ProofReport,
    RepositoryReport,
    RunReport,
    Work,
    same_copy,
)

CLOCK_MS = 3_600_000  # a copy dated further than this in the future has a wrong clock
NEAR_MS = 1_500  # tools date their copies by the second
REASON_MAX_CHARS = 2_048
NAMED_MAX = 3

Tell = Callable[[str, int, int, str], None]  # what is being done, done, of how many, unit


@dataclass(slots=True)
class Proving:
    """One attempt. `records` None: nothing that this machine keeps may be used (`elsewhere`)."""

    order: BackupOrder
    work: Work
    proof: str
    adapter: ModuleType
    repository: Repository
    sandbox: Sandbox
    records: Records | None
    tell: Tell
    part: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    checks: list[CheckSeen] = field(default_factory=list)

    def report(
        self, began_ms: int, ended_ms: int, *, ok: bool, reason: str, skipped: bool = False
    ) -> ProofReport:
        """What came of it."""
        return ProofReport(
            plan=self.order.id, proof=self.proof, work=self.work, began_ms=began_ms,
            ended_ms=max(began_ms, ended_ms), ok=ok, reason=reason[:REASON_MAX_CHARS], skipped=skipped,
            machine=socket.gethostname()[:128], tool=self.order.tool[:128], checks=self.checks[:CHECKS_MAX],
            **self.facts,
        )  # fmt: skip


async def prove(proving: Proving) -> ProofReport:
    """Do it. Raises CannotProve when it could not be tried, and what its adapter raises."""
    now_ms = proving.repository.now_ms
    began_ms = now_ms()
    match proving.work:
        case "check":
            proving.checks += await _function(proving, "check")(proving.repository, _counting(proving))
            reason = _of_checks(proving.checks)
        case "read":
            of = proving.order.slices
            proving.facts["slice_of"] = (proving.part, of)
            proving.checks += await _function(proving, "read_slice")(
                proving.repository, proving.part, of, tell=_counting(proving)
            )
            reason = _of_checks(proving.checks)
        case _:
            reason = await _restored(proving, began_ms)
            proving.facts["rto_ms"] = max(0, now_ms() - began_ms)
    ok = bool(proving.checks) and all(check.ok for check in proving.checks)
    return proving.report(began_ms, now_ms(), ok=ok, reason=reason)


async def _restored(proving: Proving, began_ms: int) -> str:
    """Restore, compare, and for `service` start it; the reason."""
    seen = await _look(proving)
    copy, bound = choose(proving, seen)
    proving.facts |= {"copy": copy.key, "copy_at_ms": copy.at_ms, "version": seen.version}
    sandbox = proving.sandbox
    await in_background(lambda _: sandbox.make())
    if copy.size:
        sandbox.fits(copy.size)
    restored = await sandbox.within(
        _function(proving, "restore")(
            proving.repository,
            copy,
            into=sandbox.directory,
            tell=_counting(proving),
        ),
        told=lambda size: proving.tell("restoring", size, copy.size or 0, "bytes"),
    )
    proving.checks += restored.checks
    proving.facts["canary_at_ms"] = restored.canary_at_ms
    said = ""
    if restored.compared:
        said = f"copy {copy.key[:16]} was restored. {_of_checks(proving.checks)}"
    elif bound is not None:
        said = await _held(proving, restored, copy, bound)
    else:
        raise CannotProve(f"{proving.order.tool} restored the copy, and said not what it is held against")
    if proving.work == "service":
        serving = _function(proving, "serve")(proving.repository, restored, tell=_counting(proving))
        proving.checks += await sandbox.within(serving)
        said = f"{said} {_of_checks(proving.checks)}".strip()
    if (canary_ms := proving.facts.get("canary_at_ms")) is not None:
        proving.facts["rpo_ms"] = max(0, began_ms - canary_ms)
    return said


async def _look(proving: Proving) -> RepositoryReport:
    """Raises CannotProve when the repository does not open or is empty."""
    proving.tell("looking into the repository", 0, 0, "steps")
    seen: RepositoryReport = await _function(proving, "look")(proving.repository)
    if not seen.opened:
        raise CannotProve(f"the repository does not open: {seen.reason}", why=seen.why)
    if not seen.copies:
        raise CannotProve("the repository has no copy: there is nothing to restore")
    return seen


def choose(proving: Proving, seen: RepositoryReport) -> tuple[CopySeen, Bound | None]:
    """The newest copy that a manifest was taken for: by our clock at the source, not by the copy's own date.
    Raises CannotProve when there is none."""
    if getattr(proving.adapter, "OWN_COMPARISON", False):
        plausible = [one for one in seen.copies if one.at_ms <= seen.at_ms + CLOCK_MS]
        return max(plausible or seen.copies, key=lambda one: one.at_ms), None
    for bound in bounds(proving.order, proving.records, seen.copies, now_ms=seen.at_ms):
        for copy in seen.copies:
            if bound.copy and same_copy(bound.copy, copy.key):
                newer = sum(one.at_ms > copy.at_ms for one in seen.copies)
                if newer:
                    said = f"{newer} copies say that they are newer; no manifest was taken for them"
                    proving.checks.append(CheckSeen("newest", True, said))
                return copy, bound
    raise CannotProve(
        f"none of the {seen.copies_total} copies has a manifest that was taken at its source, so a restore "
        "could be held against nothing: run the job as `forestall agent job PLAN -- COMMAND`"
    )


def pair(runs: Sequence[RunReport], copies: Sequence[CopySeen]) -> list[RunReport]:
    """Runs whose copy is now known, or known with its whole key: by the beginning of the key, else because
    it is the only copy that was dated between the run's beginning and its end."""
    found = []
    taken = {run.copy for run in runs}
    for run in runs:
        if run.copy:
            keys = [copy.key for copy in copies if same_copy(run.copy, copy.key) and copy.key != run.copy]
        elif run.began_ms is None or run.ended_ms is None or run.said not in {"success", "warning"}:
            continue
        else:
            low, high = run.began_ms - NEAR_MS, run.ended_ms + NEAR_MS
            keys = [copy.key for copy in copies if low <= copy.at_ms <= high and copy.key not in taken]
        if len(keys) == 1:
            found.append(msgspec.structs.replace(run, copy=keys[0]))
    return found


def bounds(
    order: BackupOrder, records: Records | None, copies: Sequence[CopySeen], *, now_ms: int
) -> list[Bound]:
    """What is known of runs with a manifest, the newest first; the server's word counts more. Those that were
    taken while the clock was ahead come last."""
    found = {}
    if records is not None:
        runs = records.runs(order.id)
        paired = {run.run: run for run in pair(runs, copies)}
        for run in (paired.get(one.run, one) for one in runs):
            found[run.run] = Bound(run=run.run, copy=run.copy, manifest=run.manifest, canary=run.canary)
    for bound in order.bound:
        ours = found.get(bound.run)
        copy = ours.copy if ours is not None and len(ours.copy) > len(bound.copy) else bound.copy
        found[bound.run] = Bound(run=bound.run, copy=copy, manifest=bound.manifest, canary=bound.canary)
    known = [(one.manifest.at_ms, one) for one in found.values() if one.manifest is not None]
    return [
        one
        for _, one in sorted(known, key=lambda pair: (pair[0] <= now_ms + CLOCK_MS, pair[0]), reverse=True)
    ]


async def _held(proving: Proving, restored: Restored, copy: CopySeen, bound: Bound) -> str:
    """Hold what came back against manifest and canary; the reason."""
    expected = bound.manifest
    assert expected is not None
    proving.facts["manifest"] = expected
    sources = proving.order.sources
    home = str(Path(bound.canary.where).parent.parent) if bound.canary and bound.canary.where else ""
    strip = restored.strip or find_strip(restored.root, [home, *sources] if home else sources)
    back = await _canary(proving, restored.root, home, strip, bound)
    manifest = _manifest_file(proving, bound, restored.root, home, strip)
    try:
        await in_background(lambda _: read_tail(manifest, root=expected.root))
    except (Damaged, FileNotFoundError) as error:
        text = str(error) if isinstance(error, Damaged) else f"there is no manifest at {manifest}"
        proving.checks.append(CheckSeen("manifest", False, text))
        return f"copy {copy.key[:16]} was restored, and could not be compared: {text}"
    compared = await _compared(proving, restored.root, manifest, strip=strip, bound=bound)
    said = f"it has the root {expected.root[:16]}… that was told when the run ended"
    proving.checks += [CheckSeen("manifest", True, said), *_checks_of(compared)]
    proving.facts |= {
        "files_expected": compared.expected, "files_equal": compared.equal, "size": compared.size,
        "mismatches": compared.mismatches, "mismatches_total": compared.mismatches_total,
    }  # fmt: skip
    others = [one.said for one in proving.checks if not one.ok and one.name not in {"files equal", "canary"}]
    return "; ".join([say(compared, copy, back), *others])


async def _canary(proving: Proving, root: Path, home: str, strip: str, bound: Bound) -> CanaryBack:
    if not home:
        back = CanaryBack(
            True, "no canary was planted for this run: how old the data is comes from the manifest"
        )
        proving.facts["canary_at_ms"] = bound.manifest.at_ms if bound.manifest else None
    else:
        back = await in_background(lambda _: find_canary(root, home, strip=strip, expected=bound.canary))
        if back.planted is not None:
            proving.facts["canary_at_ms"] = back.planted.canary.at_ms
    proving.checks.append(CheckSeen("canary", back.ok, back.said))
    return back


def _manifest_file(proving: Proving, bound: Bound, root: Path, home: str, strip: str) -> Path:
    """This machine's own, else the one in the copy: both count only with the root."""
    if proving.records is not None:
        own = proving.records.manifest(proving.order.id, bound.run)
        if own.exists():
            return own
    there = restored_path(root, home or next(iter(proving.order.sources), "/"), strip) / DIRECTORY / MANIFEST
    return there if inside(root, there) else root / MANIFEST  # where none is


async def _compared(proving: Proving, root: Path, manifest: Path, *, strip: str, bound: Bound) -> Compared:
    expected = bound.manifest
    assert expected is not None
    left_out = excluded(plan_settings(proving.order, "excludes"))
    may_move = excluded(plan_settings(proving.order, "may_move"))
    moved = proving.records.read_moved(proving.order.id, bound.run) if proving.records is not None else None

    def told(files: int, size: int) -> None:
        proving.tell("comparing", files, expected.files, "files")

    return await in_background(
        lambda going: compare(
            manifest, root, bound=expected.root, strip=strip, moved=moved, named=frozenset(expected.moved),
            unnamed=max(0, expected.moving - len(expected.moved)), left_out=left_out, may_move=may_move,
            tell=told, going=going,
        )
    )  # fmt: skip


def find_strip(root: Path, sources: Sequence[str]) -> str:
    """What is missing at the front of the sources' paths in a restored tree: a job may have named its sources
    relative to where it ran. "" when they lie there whole, or nowhere."""
    for source in sources:
        parts = Path(source).parts
        for at in range(1, len(parts) + 1):
            front, rest = Path(*parts[:at]), Path(*parts[at:])
            if os.path.lexists(root / rest) and (rest.parts or any(root.iterdir())):
                return "" if at == 1 else str(front)
    return ""


def _checks_of(compared: Compared) -> list[CheckSeen]:
    checks = [
        CheckSeen(
            "files equal", not compared.mismatches_total,
            f"{compared.equal} of {compared.expected} files are equal by hash ({compared.size} bytes); "
            f"{_kinds(compared) or 'none is missing, shorter or different'}",
        )
    ]  # fmt: skip
    if not compared.expected:
        checks.append(CheckSeen("not empty", False, "the manifest has no file: nothing was at the source"))
    if compared.apart or compared.unvouched:
        checks.append(
            CheckSeen(
                "moving files", True,
                f"{compared.apart} files changed while the run went on and are as they were after it; of "
                f"{compared.unvouched} nobody can say what they should be",
            )
        )  # fmt: skip
    if compared.torn:
        checks.append(
            CheckSeen(
                "torn files", False,
                f"{compared.torn} files changed while the run went on, and came back neither as they "
                "were before it nor after: back up a snapshot of the file system, or name them in may_move",
            )
        )  # fmt: skip
    if compared.unread:
        checks.append(
            CheckSeen(
                "unreadable", False, f"{compared.unread} paths could not be read at the source before the run"
            )
        )
    for what, count in (("added", compared.added), ("left out", compared.left_out)):
        if count:
            checks.append(CheckSeen(what, True, f"{count} files"))
    return checks


def _kinds(compared: Compared) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(compared.kinds.items()))


def say(compared: Compared, copy: CopySeen, back: CanaryBack) -> str:
    """The comparison in words and numbers."""
    name = copy.key[:16]
    if compared.mismatches_total:
        named = ", ".join(f"{one.path} ({one.what})" for one in compared.mismatches[:NAMED_MAX])
        more = compared.mismatches_total - min(NAMED_MAX, compared.mismatches_total)
        return (
            f"copy {name} was restored, and {compared.mismatches_total} paths are not as they were at the "
            f"source: {named}{f' and {more} more' if more else ''}; {compared.equal} of {compared.expected} "
            f"files are equal. And {back.said}"
        )
    return (
        f"copy {name} was restored: {compared.equal} of {compared.expected} files ({compared.size} bytes) "
        f"are equal to the hashes that were taken at the source; {back.said}"
    )


def _of_checks(checks: Sequence[CheckSeen]) -> str:
    """What failed, else everything that was said."""
    failed = [f"{check.name}: {check.said}" for check in checks if not check.ok]
    return "; ".join(failed or [check.said for check in checks])


def _function(proving: Proving, name: str) -> Callable[..., Awaitable[Any]]:
    found = getattr(proving.adapter, name, None)
    if found is None:
        raise CannotProve(
            f"{proving.order.tool} offers nothing for this ({name}): take the work out of the plan"
        )
    return found  # type: ignore[no-any-return]


def _counting(proving: Proving) -> Callable[[str, int, int], None]:
    return lambda what, done, total: proving.tell(what, done, total, "bytes")
