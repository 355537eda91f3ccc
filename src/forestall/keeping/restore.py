"""Restore of an installation from a backup into an empty directory.

Everything is verified before anything is written; everything is staged in `.restoring` and checked again
(the database's integrity, every entry and the root of the journal, the signed checkpoint) before it is moved
to its place; the telemetry is attached last, by a store process of its own, and its rows are counted.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forestall.journal.seal import open_checkpoint
from forestall.keeping.archive import KEYS, KEYS_SEALED, SQLITE, Manifest, extract, verify
from forestall.keeping.checking import check_sqlite
from forestall.keeping.frozen import attach, check_table, is_part_name
from forestall.keeping.keys import open_keys, read_private
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.schema import DATABASE

STAGE = ".restoring"
FROZEN = "telemetry"
STORE_READY_S = 60.0
STORE_STOP_S = 30.0
MOUNTED = frozenset({"lost+found"})  # what an empty disk has


def restore(archive: Path, data: DataDir, *, recovery_key: str = "") -> Manifest:
    """Restore into `data`, without the tables of PostgreSQL (see `keeping.business.restore_postgres`).

    Raises Trouble that names what does not fit; the directory is then as empty as it was.
    """
    _require_empty(data.root)
    manifest = verify(archive)
    if manifest.keys_sealed and not recovery_key:
        raise Trouble(
            "the keys in this backup are sealed",
            "Give the recovery key with --recovery-key-file.",
        )
    private = read_private(recovery_key) if manifest.keys_sealed else b""
    for table in manifest.tables:
        check_table(table)
    _require_room(data.root, manifest)
    data.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    stage = data.root / STAGE
    try:
        stage.mkdir(mode=0o700)
        extract(archive, stage)
        _place_keys(stage, private)
        _check_journal(stage, manifest)
        _move(stage, data)
        _attach(data, stage / FROZEN, manifest)
        shutil.rmtree(stage)
    except OSError as error:
        clear(data.root)
        raise Trouble(
            f"{data.root} cannot be written: {error.strerror or error}", "Make room there, or choose another."
        ) from error
    except BaseException:
        clear(data.root)
        raise
    return manifest


def _require_empty(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise Trouble(f"{root} is a file", "Choose a directory with --data DIR.")
    there = sorted({path.name for path in root.iterdir()} - MOUNTED) if root.is_dir() else []
    if there:
        raise Trouble(
            f"{root} is not empty: it has {there[0]}",
            "Choose another directory with --data DIR; a restore never overwrites an installation.",
        )


def _require_room(root: Path, manifest: Manifest) -> None:
    place = root
    while not place.exists():
        place = place.parent
    wanted, free = sum(part.size for part in manifest.parts), shutil.disk_usage(place).free
    if free < wanted:
        raise Trouble(
            f"the backup needs {wanted >> 20} MB and the disk of {root} has {free >> 20} MB left",
            "Choose another place with --data DIR.",
        )


def _place_keys(stage: Path, private: bytes) -> None:
    """The keys as files again."""
    sealed = stage / KEYS_SEALED
    if sealed.exists():
        folder = stage / KEYS
        folder.mkdir(mode=0o700)
        for name, key in open_keys(sealed.read_bytes(), private).items():
            if Path(name).name != name or name.startswith("."):
                raise Trouble(f"a key has the name {name!r}", "This is not one of our backups.")
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
        sealed.unlink()


def _check_journal(stage: Path, manifest: Manifest) -> None:
    """The journal is whole, its root the manifest's, and the checkpoint signed by the key in the backup."""
    wanted = manifest.journal
    if wanted.checkpoint:
        try:
            state = open_checkpoint(wanted.checkpoint, bytes.fromhex(wanted.public_key))
        except ValueError as error:
            raise Trouble(f"the journal's checkpoint is wrong: {error}", "Take another backup.") from error
        if state.size > wanted.size:
            raise Trouble(
                f"the journal lost entries: {state.size} are signed, {wanted.size} there",
                "Take another backup.",
            )
    if manifest.database == "sqlite":
        check_sqlite(stage / SQLITE, wanted)


def _move(stage: Path, data: DataDir) -> None:
    for entry in sorted(stage.iterdir()):
        if entry.name != FROZEN:
            entry.rename(data.root / entry.name)
    data.create()


def _attach(data: DataDir, frozen: Path, manifest: Manifest) -> None:
    """The telemetry, by a store that runs for as long as it takes."""
    if not manifest.tables:
        return
    for table in manifest.tables:
        if any(not is_part_name(part.name) for part in (frozen / table.name).glob("*")):
            raise Trouble(f"{table.name} has a part that is none", "This is not one of our backups.")
    with _running_store(data) as store:
        try:
            store.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        except (StoreUnavailable, StoreRefused) as error:
            raise Trouble(f"the store cannot be made: {error}", "Look at its disk.") from error
        attach(store, manifest.tables, frozen)


@contextmanager
def _running_store(data: DataDir) -> Iterator[Store]:
    """A store process on a free port of loopback."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    key = data.key("store")
    command = [sys.executable, "-m", "forestall.telemetry.store_process", "--path", str(data.telemetry)]
    command += ["--port", str(port), "--key-file", str(data.secret / "store")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            store = Store("127.0.0.1", port, password=key.hex())
            try:
                store.wait_ready(STORE_READY_S)
            except StoreUnavailable as error:
                raise Trouble(f"the store does not start: {error}", "Look at what it said above.") from error
            yield store
        finally:
            process.terminate()
            try:
                process.wait(STORE_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def clear(root: Path) -> None:
    """As it was before: what a failed restore has put there goes."""
    for entry in list(root.iterdir()) if root.is_dir() else ():
        if entry.name in MOUNTED:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
