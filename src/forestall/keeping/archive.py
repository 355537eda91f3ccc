"""The file of a backup: a zstd-compressed tar whose last member, the manifest, has the SHA-256 of the others.

Anybody can look inside with `zstd -dc FILE | tar t`. Reading never trusts it: names are plain paths below
the root, only regular files, and nothing is used before every part has its hash (`verify`).
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec
import zstandard
from msgspec import Struct

from forestall.kernel.errors import Trouble

FORMAT = "forestall/backup 1"
MANIFEST = "manifest.json"
KEYS, KEYS_SEALED = "secret", "secret.sealed"
SQLITE, POSTGRES = "forestall.db", "forestall.pgdump"
MANIFEST_MAX_BYTES = 1 << 30
PARTS_MAX = 5_000_000
LEVEL = 3
STEP_BYTES = 1 << 20
NAME_MAX_CHARS = 4096


class Part(Struct, frozen=True):
    """A member of the archive."""

    name: str
    size: int
    sha256: str


class JournalState(Struct, frozen=True):
    """The journal in the archive's database: its size and root (hex), a signed checkpoint that it holds."""

    size: int
    root: str
    checkpoint: str
    public_key: str


class TableState(Struct, frozen=True):
    """A table of the telemetry: how it is made, and what of it is in the archive."""

    name: str
    create: str
    rows: int
    parts: int


class Manifest(Struct, frozen=True, kw_only=True):
    """What an archive holds. `database`: sqlite or postgresql. `telemetry_days`: None for all, 0 for none."""

    format: str = FORMAT
    version: str
    made_at: str
    database: str
    journal: JournalState
    telemetry_days: int | None
    tables: list[TableState] = []
    keys_sealed: bool = False
    parts: list[Part] = []


class Writer:
    """Adds members to an archive; the manifest comes last."""

    def __init__(self, file: IO[bytes]) -> None:
        self._packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
            file, closefd=False
        )
        self._tar = tarfile.open(fileobj=self._packed, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.parts: list[Part] = []

    def add_bytes(self, name: str, data: bytes) -> None:
        """A member with this content."""
        self._add(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, path: Path, *, size: int | None = None) -> None:
        """A file as it is now, or its first `size` bytes. Raises OSError, Trouble when it became shorter."""
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size if size is None else size
            self._add(name, file, length)

    def close(self, manifest: Manifest) -> Manifest:
        """Write the manifest with all parts, and the ends."""
        whole = msgspec.structs.replace(manifest, parts=self.parts)
        data = msgspec.json.format(msgspec.json.encode(whole), indent=1)
        self._tar.addfile(_member(MANIFEST, len(data)), io.BytesIO(data))
        self._tar.close()
        self._packed.close()  # type: ignore[no-untyped-call]
        return whole

    def _add(self, name: str, file: IO[bytes], size: int) -> None:
        if len(self.parts) >= PARTS_MAX:
            raise Trouble(f"a backup has at most {PARTS_MAX} files", "Back up less telemetry.")
        hashed = _Hashed(file, size)
        try:
            self._tar.addfile(_member(name, size), hashed)
        except OSError as error:
            if error.errno is None:  # tarfile's own: less came than was said
                raise Trouble(f"{name} became shorter while it was copied", "Try again.") from error
            raise
        self.parts.append(Part(name, size, hashed.digest()))


class _Hashed:
    """A file that is hashed as it is read, at most `left` bytes of it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.left = size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self.left if size < 0 else min(size, self.left))
        self._hash.update(data)
        self.left -= len(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


@contextmanager
def written(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name only when it is whole and on the disk. Raises Trouble."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise Trouble(
            f"the backup {target} cannot be made: {error.strerror or error} ({error.filename or target})",
            "Make room there, or choose another place.",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes]]]]:
    """The members of an archive in order, each with its content. Raises Trouble for what is damaged."""
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                file, read_across_frames=False
            ) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            yield _members(tar)
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        raise Trouble(f"{path} is damaged or no backup: {error}", "Take another backup.") from error
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError) or error.errno:
            raise Trouble(f"{path} cannot be read: {error.strerror}", "Give the path of a backup.") from error
        raise Trouble(f"{path} is damaged: {error}", "Take another backup.") from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in tar:
        check_name(member.name)
        content = tar.extractfile(member) if member.isreg() else None
        if content is None:
            raise Trouble(f"{member.name!r} in the backup is no file", "This is not one of our backups.")
        yield member, content


def check_name(name: str) -> None:
    """Raises Trouble for a name that does not stay below the root."""
    path = PurePosixPath(name)
    if (
        not name
        or len(name) > NAME_MAX_CHARS
        or path.is_absolute()
        or ".." in path.parts
        or str(path) != name
        or "\\" in name
        or "\0" in name
    ):
        raise Trouble(f"the backup has a part with the name {name!r}", "This is not one of our backups.")


def verify(path: Path) -> Manifest:
    """Read the whole archive and compare every part with the manifest. Raises Trouble that names what does
    not fit; nothing is written."""
    found: dict[str, tuple[int, str]] = {}
    manifest: Manifest | None = None
    with opened(path) as members:
        for member, content in members:
            if manifest is not None:
                raise Trouble(f"{path} goes on after its manifest", "It was altered: take another backup.")
            if member.name == MANIFEST:
                manifest = _read_manifest(content.read(MANIFEST_MAX_BYTES))
                continue
            if member.name in found:
                raise Trouble(f"{path} has {member.name} twice", "It was altered: take another backup.")
            found[member.name] = (member.size, _digest(content))
    if manifest is None:
        raise Trouble(f"{path} is cut short: it has no manifest", "Take another backup.")
    wanted = {part.name: (part.size, part.sha256) for part in manifest.parts}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            what = "is missing" if name not in found else "is not what was backed up"
            raise Trouble(f"{name} in {path} {what}", "The file was altered: take another backup.")
    return manifest


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while step := content.read(STEP_BYTES):
        digest.update(step)
    return digest.hexdigest()


def _read_manifest(data: bytes) -> Manifest:
    try:
        known: Any = msgspec.json.decode(data)
        if isinstance(known, dict) and known.get("format") != FORMAT:
            raise Trouble(
                f"this backup has the format {known.get('format')!r}, not {FORMAT!r}",
                "Restore it with the Forestall that wrote it.",
            )
        return msgspec.convert(known, Manifest)
    except msgspec.MsgspecError as error:
        raise Trouble(f"the manifest cannot be read: {error}", "Take another backup.") from error


def extract(path: Path, target: Path) -> None:
    """Write every part below `target`, each compared with the manifest again as it is written, synced."""
    digests: dict[str, str] = {}
    with opened(path) as members:
        for member, content in members:
            if member.name == MANIFEST:
                for part in _read_manifest(content.read(MANIFEST_MAX_BYTES)).parts:
                    if digests.get(part.name) != part.sha256:
                        raise Trouble(f"{part.name} changed while it was read", "Check the disk.")
                continue
            place = target / member.name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            digest = hashlib.sha256()
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                while step := content.read(STEP_BYTES):
                    digest.update(step)
                    file.write(step)
            digests[member.name] = digest.hexdigest()
    os.sync()
