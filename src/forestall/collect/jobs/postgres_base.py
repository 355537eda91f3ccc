"""Base backups of PostgreSQL in a directory: as pg_basebackup makes them, plain or in tar files.

A base backup is the server's own files. It proves itself in four steps: what its manifest lists is there, it
is read back, it is restored and equals its manifest, and a throw-away server recovers and runs on it.
"""

import os
import re
import shutil
import tarfile
from pathlib import Path

from forestall.collect.backups import files, postgres
from forestall.collect.backups.adapter import CannotProve, Progress, Repository, Restored
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.dumps import Unsound
from forestall.collect.backups.files import Found
from forestall.collect.backups.tars import unpack
from forestall.kernel.backups import CheckSeen, CopySeen, RepositoryReport, RunReport
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="postgres_base",
    title="PostgreSQL base backup",
    about="Verifies base backups by their manifest, and recovers a throw-away server from a copy of them.",
    source="PostgreSQL documentation: pg_basebackup, pg_verifybackup, Continuous Archiving, pg_checksums",
    settings=(files.PATTERN, *postgres.SETTINGS),
    limits="The backup must hold the WAL that it needs (pg_basebackup -X stream or fetch): an archive of WAL "
    "is not replayed, so what is proved is the backup's own moment. pgBackRest's own repository is not read.",
    produces=("run", "look", "check", "read", "drill", "service", "elsewhere"),
)  # fmt: skip
OWN_COMPARISON = True
MANIFEST = "backup_manifest"
TAR = re.compile(r"(?P<name>base|pg_wal|\d+)\.tar(?:\.(?:gz|zst|lz4|bz2|xz))?")
MANIFEST_END = re.compile(rb'"Manifest-Checksum":\s*"[0-9a-f]{64}"\s*}\s*$')
LINKS = "pg_tblspc"


def is_copy(path: Path) -> bool:
    """A cluster's directory, or one with the tar of it."""
    return path.is_dir() and ((path / "PG_VERSION").is_file() or _tars(path).get("base") is not None)


def found(repository: Repository) -> list[Found]:
    """All base backups, the oldest first; the place itself may be one. Raises CannotProve."""
    place = files.place_of(repository)
    if is_copy(place):
        return [_dated(Found(place.name, place, 0, 0, True))]
    copies = files.find(place, str(repository.settings["pattern"]), is_copy=is_copy)
    return sorted((_dated(one) for one in copies), key=lambda one: (one.at_ms, one.key))


async def look(repository: Repository) -> RepositoryReport:
    """Each backup, and what is missing of it at first sight."""
    return await files.look_files(
        repository, "postgres_base", lambda _: found(repository), problem=lambda one: _problem(one.path)
    )


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """All at first sight; of the newest every file that its manifest lists, by name and size."""
    copies = await in_background(lambda _: found(repository))
    if not copies:
        raise CannotProve("there is no base backup: nothing can be checked")
    wrong = [f"{one.key}: {said}" for one in copies if (said := _problem(one.path))]
    said = "; ".join(wrong[:5]) or f"all {len(copies)} have a cluster and a whole manifest"
    checks = [CheckSeen("parts", not wrong, said[:2048])]
    newest = copies[-1]
    if tars := _tars(newest.path):
        seen = [await files.examined(path, tell) for path in tars.values()]
        pairs = zip(tars.values(), seen, strict=True)
        bad = [f"{path.name}: {one.problem}" for path, one in pairs if one.problem or one.inside != "tar"]
        size = sum(one.inner_size for one in seen)
        said = "; ".join(bad) or f"{len(seen)} tars of {size} bytes are whole"
        return [*checks, CheckSeen("format", not bad, said[:2048])]
    tell("verifying by the manifest", 0, 0)
    return [*checks, await _verified(repository, newest.path, "--skip-checksums")]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """Every file of every backup, by its path."""
    copies = await in_background(lambda _: found(repository))
    all_files = await in_background(
        lambda _: [
            (f"{one.key}/{path.relative_to(one.path)}", path)
            for one in copies
            for path in sorted(one.path.rglob("*"))
            if path.is_file() and not path.is_symlink()
        ]
    )
    packed = any(_tars(one.path) for one in copies)
    return await files.read_back(repository, all_files, part=part, of=of, tell=tell, streams=packed)


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """A copy of the cluster, held against its manifest with every checksum."""
    one = files.chosen(await in_background(lambda _: found(repository)), copy.key)
    tell("restoring the cluster", 0, one.size)
    data = into / "data"
    try:
        await in_background(lambda going: _copy(one.path, data, into / "tablespaces", going))
    except (Unsound, tarfile.TarError) as error:
        return Restored(into, checks=[CheckSeen("format", False, f"{one.key}: {error}")], compared=True)
    except (OSError, shutil.Error) as error:
        raise CannotProve(f"{one.key} cannot be restored: {error}") from error
    tell("verifying by the manifest", 0, 0)
    return Restored(into, checks=[await _verified(repository, data)], compared=True)


async def serve(repository: Repository, restored: Restored, *, tell: Progress) -> list[CheckSeen]:
    """Recover it, check every page while it stands, then run it and ask."""
    data = restored.root / "data"
    programs = _programs(repository, data)
    user = postgres.runs_as(repository)
    await in_background(lambda _: _made_harmless(data))
    for path in (restored.root, restored.root / "tablespaces"):
        if path.exists():
            await in_background(lambda _, path=path: postgres.give(path, user))  # type: ignore[misc]
    tell("recovering", 0, 0)
    checks: list[CheckSeen] = []
    try:
        async with postgres.serving(repository, programs, data):
            checks.append(CheckSeen("recovery", True, "the server recovered to the end of the backup"))
        tell("checking every page", 0, 0)
        checks.append(await postgres.checksums(repository, programs, data))
        async with postgres.serving(repository, programs, data) as server:
            checks += await postgres.structure(server, tell)
            checks += await postgres.questions(server, tell, await server.databases())
    except postgres.StartFailed as error:
        name = "recovery" if not checks else "service"
        checks.append(
            CheckSeen(name, False, f"the server does not start on what was restored: {error}"[:2048])
        )
    return checks


def run_of_copy(copy: CopySeen) -> RunReport:
    """A base backup stands for the run that made it."""
    return files.run_of_copy(copy, "postgres_base")


def _tars(path: Path) -> dict[str, Path]:
    """`base`, `pg_wal`, tablespaces by number."""
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208 - only names
    except OSError:
        return {}
    return {match["name"]: path / name for name in names if (match := TAR.fullmatch(name))}


def _dated(one: Found) -> Found:
    """When it was finished: the manifest is written last."""
    size = sum(path.lstat().st_size for path in one.path.rglob("*") if path.is_file())
    for name in (MANIFEST, "backup_label", "PG_VERSION", "."):
        path = one.path / name
        if path.exists():
            return Found(one.key, one.path, path.stat().st_mtime_ns // 1_000_000, size, True)
    return one


def _problem(path: Path) -> str:
    """What is missing at first sight."""
    if not _tars(path):
        for name in ("base", "global/pg_control", "pg_wal", "backup_label"):
            if not (path / name).exists():
                return f"{name} is missing: it was not finished, or is no base backup"
    manifest = path / MANIFEST
    try:
        with manifest.open("rb") as file:
            file.seek(max(0, manifest.stat().st_size - 256))
            end = file.read()
    except FileNotFoundError:
        return f"it has no {MANIFEST}: make it with PostgreSQL 13 or newer, without --no-manifest"
    except OSError as error:
        return f"its {MANIFEST} cannot be read: {error.strerror or error}"
    return "" if MANIFEST_END.search(end) else f"its {MANIFEST} is cut short"


async def _verified(repository: Repository, data: Path, *words: str) -> CheckSeen:
    programs = _programs(repository, data)
    ended = await repository.run([str(programs / "pg_verifybackup"), "--no-parse-wal", *words, str(data)])
    said = "every file is as its manifest says" + (", by name and size" if words else ", by its checksum")
    return CheckSeen(
        "pg_verifybackup",
        ended.code == 0,
        said if ended.code == 0 else postgres.said_of(ended),
        ended.took_ms,
    )


def _programs(repository: Repository, data: Path) -> Path:
    try:
        major = int((data / "PG_VERSION").read_text()[:8].partition(".")[0])
    except (OSError, ValueError) as error:
        raise CannotProve(f"what was restored has no PG_VERSION that can be read: {error}") from error
    return postgres.programs_of(str(repository.settings["programs"]), major=major)


def _copy(source: Path, data: Path, spaces: Path, going: Going) -> None:
    """Raises Unsound, tarfile.TarError, OSError."""
    tars = _tars(source)
    if not tars:
        shutil.copytree(source, data, symlinks=True)
        _brought_home(source, data, spaces)
        return
    data.mkdir(mode=0o700)
    unpack(tars["base"], data, going=going)
    for name, path in tars.items():
        if name == "pg_wal":
            unpack(path, data / "pg_wal", going=going)
        elif name != "base":
            unpack(path, spaces / name, going=going)
            (data / LINKS).mkdir(exist_ok=True)
            (data / LINKS / name).symlink_to(spaces / name)
    if (source / MANIFEST).exists():
        shutil.copy2(source / MANIFEST, data / MANIFEST)
    _brought_home(data, data, spaces)


def _brought_home(source: Path, data: Path, spaces: Path) -> None:
    """No link may lead out of the copy: a server would write through it, to the backup or to the one that is
    at work. What a link of a tablespace or of pg_wal leads to is copied, if it lies in the backup. Raises
    Unsound."""
    for path in [data / "pg_wal", *sorted((data / LINKS).glob("*"))]:
        if not path.is_symlink() or path.resolve().is_relative_to(spaces.resolve()):
            continue
        target = path.resolve()
        if not target.is_relative_to(source.parent.resolve()) or not target.is_dir():
            raise Unsound(
                f"{path.relative_to(data)} leads to {target}, outside of the backup: nothing may be started "
                "on it. Back tablespaces up as tars, or map them into the backup's directory"
            )
        path.unlink()
        if path.parent.name == LINKS:
            shutil.copytree(target, spaces / path.name)
            path.symlink_to(spaces / path.name)
        else:
            shutil.copytree(target, path)
    for folder, folders, names in os.walk(data):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink() and path.parent.name != LINKS:
                raise Unsound(f"{path.relative_to(data)} is a link: a base backup has none there")


def _made_harmless(data: Path) -> None:
    """Nothing that makes it wait for a primary, reach an archive, or put tablespaces elsewhere."""
    for name in ("standby.signal", "recovery.signal", "recovery.conf", "postmaster.pid", "tablespace_map"):
        (data / name).unlink(missing_ok=True)
    (data / "postgresql.auto.conf").write_text("")
