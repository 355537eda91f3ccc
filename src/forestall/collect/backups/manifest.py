"""The manifest of a source: what every file was, hashed before the run, to hold a restore against.

A file of blocks: each a zstd frame of msgpack with entries in the order of `walking.walk`, so that a million
files pass through the memory of a few thousand. Where a block ends depends on the paths alone: most blocks
are the same in the next run, and a deduplicating tool stores them once. `root` is the SHA-256 of all entries.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import zstandard

from forestall.collect.backups.walking import FileKind

MAGIC = b"FORESTALL MANIFEST 1\n"
LEVEL = 3
BLOCK_ENTRIES_MAX = 4_096
BLOCK_MAX_BYTES = 64 << 20
CUT_MASK = 511  # a block ends at one path in 512
PATH_MAX_BYTES = 16 << 10
T = TypeVar("T")
_LENGTH = struct.Struct("<I")


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`digest`: SHA-256 of a file, the target of a link, the problem of what cannot be read, else empty."""

    path: bytes
    kind: FileKind
    size: int
    digest: bytes


class Stat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """By what a file is known to be unchanged."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Block(msgspec.Struct, frozen=True, array_like=True):
    """`stats` has one for every entry, or none."""

    entries: list[Entry]
    stats: list[Stat] = []


class Head(msgspec.Struct, frozen=True):
    """When it was taken, and of which paths."""

    at_ms: int
    sources: list[bytes]


class Tail(msgspec.Struct, frozen=True):
    """`whole`: every file was hashed."""

    root: str
    files: int
    size: int
    whole: bool = True


class Damaged(ValueError):
    """This file is not a manifest, or not the one that it was."""


_encoder = msgspec.msgpack.Encoder()
_entry_encoder = msgspec.msgpack.Encoder()
_blocks = msgspec.msgpack.Decoder(Block)
_heads = msgspec.msgpack.Decoder(Head)
_tails = msgspec.msgpack.Decoder(Tail)


class Root:
    """The hash over all entries, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(MAGIC)

    def add(self, entries: Sequence[Entry]) -> None:
        """The next entries."""
        self._hash.update(b"".join([_entry_encoder.encode(one) for one in entries]))

    def text(self) -> str:
        """Hexadecimal, so far."""
        return self._hash.hexdigest()


class Writer:
    """Writes a manifest into files at once: `full` with what is needed to take the next one, `plain` without
    (the one that goes into the copy). Nothing has its name before `end`."""

    def __init__(self, head: Head, *, full: Path, plain: Path | None) -> None:
        self._paths = [path for path in (full, plain) if path is not None]
        self._files: list[IO[bytes]] = []
        self._root = Root()
        self._entries: list[Entry] = []
        self._stats: list[Stat] = []
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self.files = self.size = 0
        try:
            for path in self._paths:
                self._files.append(_create(_beside(path)))
                self._files[-1].write(MAGIC)
            self._frame(_encoder.encode(head), self._files)
        except OSError:
            self.drop()
            raise

    def add(self, entry: Entry, stat: Stat) -> None:
        """The next one, in order. Raises OSError."""
        self._entries.append(entry)
        self._stats.append(stat)
        if entry.kind in "fn":
            self.files += 1
            self.size += entry.size
        if zlib.crc32(entry.path) & CUT_MASK == 0 or len(self._entries) >= BLOCK_ENTRIES_MAX:
            self._flush()

    def end(self, *, whole: bool) -> Tail:
        """Both files take their names, durably. Raises OSError."""
        self._flush()
        tail = Tail(self._root.text(), self.files, self.size, whole)
        for file, path in zip(self._files, self._paths, strict=True):
            file.write(_LENGTH.pack(0))
            self._frame(_encoder.encode(tail), [file])
            file.flush()
            os.fsync(file.fileno())
            file.close()
            _beside(path).replace(path)
        return tail

    def drop(self) -> None:
        """Nothing of it stays."""
        for file, path in zip(self._files, self._paths, strict=False):
            file.close()
            _beside(path).unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._entries:
            return
        self._root.add(self._entries)
        full, *plain = self._files
        self._frame(_encoder.encode(Block(self._entries, self._stats)), [full])
        if plain:
            self._frame(_encoder.encode(Block(self._entries)), plain)
        self._entries, self._stats = [], []

    def _frame(self, data: bytes, files: Sequence[IO[bytes]]) -> None:
        packed = self._packer.compress(data)
        for file in files:
            file.write(_LENGTH.pack(len(packed)) + packed)


def read_blocks(path: Path) -> Iterator[Head | Block | Tail]:
    """The head, the blocks, the tail. Raises Damaged for what is none, OSError."""
    unpacker = zstandard.ZstdDecompressor()
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise Damaged(f"{path.name} is not a manifest")
        yield _decode(_heads, _frame(file, unpacker), path)
        while frame := _frame(file, unpacker):
            block: Block = _decode(_blocks, frame, path)
            if block.stats and len(block.stats) != len(block.entries):
                raise Damaged(f"the manifest {path.name} is damaged: a block has not a state for every file")
            yield block
        yield _decode(_tails, _frame(file, unpacker), path)


def read_entries(path: Path, *, root: str | None = None) -> Iterator[tuple[Entry, Stat | None]]:
    """Every entry, in order. With `root` they are only true when the iterator comes to its end without
    raising Damaged: what is read is the manifest of that root."""
    hashed = Root()
    for part in read_blocks(path):
        if isinstance(part, Block):
            hashed.add(part.entries)
            stats: Sequence[Stat | None] = part.stats or [None] * len(part.entries)
            yield from zip(part.entries, stats, strict=True)
        elif isinstance(part, Tail):
            _hold(hashed.text(), part, root, path)


def read_tail(path: Path, *, root: str | None = None) -> tuple[Head, Tail]:
    """Head and tail, after every entry was held against the root. Raises Damaged, OSError."""
    head: Head | None = None
    tail: Tail | None = None
    hashed = Root()
    for part in read_blocks(path):
        match part:
            case Head():
                head = part
            case Block():
                hashed.add(part.entries)
            case Tail():
                tail = part
    if head is None or tail is None:
        raise Damaged(f"the manifest {path.name} has no end")
    _hold(hashed.text(), tail, root, path)
    return head, tail


def _hold(found: str, tail: Tail, bound: str | None, path: Path) -> None:
    for must in (tail.root, bound):
        if must is not None and must != found:
            raise Damaged(
                f"the manifest {path.name} is not the one that was taken at the source: its entries have the "
                f"root {found[:16]}…, and it must be {must[:16]}…"
            )


def _frame(file: IO[bytes], unpacker: zstandard.ZstdDecompressor) -> bytes:
    """The next frame, unpacked; empty for the mark before the tail."""
    length = file.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise Damaged(f"the manifest {Path(file.name).name} is cut short")
    size = _LENGTH.unpack(length)[0]
    if size == 0:
        return b""
    if size > BLOCK_MAX_BYTES:
        raise Damaged(f"the manifest {Path(file.name).name} is damaged: a block of {size} bytes")
    data = file.read(size)
    try:
        if len(data) < size or not 0 <= zstandard.frame_content_size(data) <= BLOCK_MAX_BYTES:
            raise Damaged(f"the manifest {Path(file.name).name} is cut short or damaged")
        return unpacker.decompress(data, max_output_size=BLOCK_MAX_BYTES)
    except zstandard.ZstdError as error:
        raise Damaged(f"the manifest {Path(file.name).name} is damaged: {error}") from error


def _decode(decoder: "msgspec.msgpack.Decoder[T]", data: bytes, path: Path) -> T:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Damaged(f"the manifest {path.name} is damaged: {error}") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".new.{path.name}")


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
