"""Reads the files that dump tools and archivers leave, to the end: formats are parsed, not trusted.

A file is one stream: compressed or not, and inside of it a dump or an archive. What is wrong is said in
words; nothing is written, and nothing of the content is kept but its first and its last kilobytes.
"""

import bz2
import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import zstandard

from forestall.collect.backups.background import Going

CHUNK_BYTES = 256 << 10
ZSTD_STEP_BYTES = 2 << 10  # what comes of it at once is bounded by the format: 128 KiB for each 4 bytes
OUT_BYTES = 1 << 20
INNER_MAX_BYTES = 16 << 40
RATIO_MAX = 20_000  # beyond it, and over RATIO_FROM_BYTES: somebody's bomb, not a dump
RATIO_FROM_BYTES = 1 << 30
ENDS_BYTES = 16 << 10
ENTRIES_MAX = 5_000_000
TAR_BLOCK = 512

Packed = Literal["plain", "gzip", "zstd", "xz", "bzip2"]
Inside = Literal["postgres", "mariadb", "sql", "pgdmp", "tar", "zip", "empty", "unknown"]
Told = Callable[[int, int], None]  # bytes of the file read, of how many

_MAGIC: tuple[tuple[bytes, Packed], ...] = (
    (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"),
)  # fmt: skip
_POSTGRES_HEAD = re.compile(rb"^-- PostgreSQL database (?:cluster )?dump\s*$", re.M)
_POSTGRES_END = re.compile(rb"^-- PostgreSQL database (?:cluster )?dump complete\s*$", re.M)
_MARIADB_HEAD = re.compile(rb"^-- (?:MariaDB|MySQL) dump ", re.M)
_MARIADB_END = re.compile(rb"^-- Dump completed(?: on .*)?\s*$", re.M)
_SQL = re.compile(rb"^\s*(?:--|/\*|CREATE |INSERT |SET |BEGIN|DROP |COPY )", re.I)
_SERVER = re.compile(r"^-- Dumped from database version ([\d.]+)|^-- Server version\s+([\d.]+)", re.M)
_TOOL = re.compile(
    r"^-- Dumped by pg_dump(?:all)? version ([\d.]+)"
    r"|^-- (?:MariaDB|MySQL) dump [\d.]+(?:\s+Distrib |-)([\d.]+)", re.M,
)  # fmt: skip
_DATABASE = re.compile(
    r'^-- Host: [^\n]*?\bDatabase: ([^\s,]+)|^-- Name: ([^;\n]+); Type: DATABASE;'
    r'|^CREATE DATABASE "?([\w$-]+)'
    r"|^-- Current Database: `([^`]+)`", re.M,
)  # fmt: skip


class Unsound(ValueError):
    """The file is not what it should be: the text says what is wrong with it."""


class Stopped(Exception):
    """Nobody waits for the reading any more."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A file that was read to its end. `size` bytes of it, `inner_size` when unpacked; `sha256` of the file.
    `problem` is empty when all of it is sound. `server`, `tool`: versions that the dump speaks of."""

    packed: Packed
    inside: Inside
    size: int
    inner_size: int
    sha256: str
    problem: str = ""
    databases: tuple[str, ...] = ()
    server: str = ""
    tool: str = ""
    entries: int | None = None
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class _Ends:
    """The first and the last bytes of a stream."""

    first: bytes = b""
    last: bytes = b""
    size: int = 0
    counted: int = 0
    wanted: set[bytes] = field(default_factory=set)

    def take(self, data: bytes) -> None:
        if len(self.first) < ENDS_BYTES:
            self.first += data[: ENDS_BYTES - len(self.first)]
        seen = self.last[-256:] + data
        for word in [one for one in self.wanted if one in seen]:
            self.wanted.discard(word)
        self.last = (self.last + data[-ENDS_BYTES:])[-ENDS_BYTES:]
        self.size += len(data)


def packed_as(head: bytes) -> Packed:
    """By the first bytes of a file."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "plain")


def unpacked(file: IO[bytes], *, going: Going = lambda: True) -> Iterator[bytes]:
    """The content of a stream in parts of bounded size, to its end. Raises Unsound when it is cut short,
    damaged, or unpacks to more than anybody backs up; Stopped; OSError."""
    head = file.read(CHUNK_BYTES)
    kind = packed_as(head)
    raw = size = 0
    for part in _parts(file, head, kind, going):
        if isinstance(part, int):
            raw += part
            continue
        size += len(part)
        if size > INNER_MAX_BYTES or (size > RATIO_FROM_BYTES and size > raw * RATIO_MAX):
            raise Unsound(f"{raw} bytes unpack to more than {size}: this is no dump, and was not read on")
        yield part


def _parts(file: IO[bytes], head: bytes, kind: Packed, going: Going) -> Iterator[bytes | int]:
    """Numbers: raw bytes that were taken; bytes: what came of them."""
    decoder = None if kind == "plain" else _decoder(kind)
    data, ended = head, False
    while data:
        if not going():
            raise Stopped
        yield len(data)
        if decoder is None:
            yield data
        else:
            for out in _decoded(decoder, kind, data):
                if out is _END:
                    ended = True
                else:
                    ended = False
                    yield out
        data = file.read(CHUNK_BYTES)
    if decoder is not None and not (ended or decoder.finished):
        raise Unsound(f"the {kind} stream is cut short: its end is missing")


_END = b"\x00end"  # compared by identity


@dataclass(slots=True)
class _Decoder:
    """The running decoder of a stream of one or more members."""

    make: Callable[[], object]
    one: object
    finished: bool = False
    fresh: bool = True


def _decoder(kind: Packed) -> _Decoder:
    makers: dict[str, Callable[[], object]] = {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
        "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
        "bzip2": bz2.BZ2Decompressor,
    }
    return _Decoder(makers[kind], makers[kind]())


def _decoded(state: _Decoder, kind: Packed, data: bytes) -> Iterator[bytes]:
    step = ZSTD_STEP_BYTES if kind == "zstd" else len(data)
    for at in range(0, len(data), step):
        part = data[at : at + step]
        while part or not state.fresh:
            if state.finished:
                part = part.lstrip(b"\0")  # padding between or after members
                if not part:
                    break
                state.one, state.finished, state.fresh = state.make(), False, True
            try:
                out, part, again = _step(state, kind, part)
            except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
                raise Unsound(f"the {kind} stream is damaged: {error}") from error
            if out:
                yield out
            if state.finished:
                yield _END
            elif not part and not again:
                break


def _step(state: _Decoder, kind: Packed, part: bytes) -> tuple[bytes, bytes, bool]:
    """What comes out, what of the input is left, and whether there is more without further input."""
    one = state.one
    state.fresh = False
    if kind == "gzip":
        out = one.decompress(part, OUT_BYTES)  # type: ignore[attr-defined]
        state.finished = one.eof  # type: ignore[attr-defined]
        left = one.unused_data if state.finished else one.unconsumed_tail  # type: ignore[attr-defined]
        again = len(out) == OUT_BYTES
    elif kind == "zstd":
        out = one.decompress(part)  # type: ignore[attr-defined]
        state.finished = one.eof  # type: ignore[attr-defined]
        left, again = (one.unused_data if state.finished else b""), False  # type: ignore[attr-defined]
    else:
        out = one.decompress(part, OUT_BYTES)  # type: ignore[attr-defined]
        state.finished = one.eof  # type: ignore[attr-defined]
        left = one.unused_data if state.finished else b""  # type: ignore[attr-defined]
        again = not state.finished and not one.needs_input  # type: ignore[attr-defined]
    if state.finished:
        state.fresh = True
    return out, left, again


class _Hashing:
    """A file whose every read is hashed and counted."""

    def __init__(self, file: IO[bytes], told: Told, total: int) -> None:
        self._file, self._told, self._total = file, told, total
        self.hash, self.size = hashlib.sha256(), 0

    def read(self, most: int = -1) -> bytes:
        data = self._file.read(most)
        self.hash.update(data)
        self.size += len(data)
        self._told(self.size, self._total)
        return data


def examine(
    path: Path,
    *,
    going: Going = lambda: True,
    told: Told = lambda done, total: None,
    wanted: tuple[str, ...] = (),
) -> Examined:
    """A file read to its end; `wanted` are words that must be in its content (`missing` are those that are
    not). Raises Stopped, OSError."""
    with path.open("rb") as file:
        total = path.stat().st_size
        hashing = _Hashing(file, told, total)
        ends = _Ends(wanted={word.encode() for word in wanted})
        tar = _TarWalk()
        problem, head = "", file.peek(8)[:8]
        kind = packed_as(head)
        try:
            for part in unpacked(hashing, going=going):  # type: ignore[arg-type]
                ends.take(part)
                tar.take(part)
        except Unsound as error:
            problem = str(error)
            while hashing.read(CHUNK_BYTES):
                if not going():
                    raise Stopped from None
    inside = _inside(ends)
    entries = tar.entries if inside == "tar" else None
    if not problem:
        problem = _problem(path, ends, inside, tar, kind)
    if inside == "zip" and kind == "plain" and not problem:
        problem, entries = _zip_problem(path, going)
    named = named_in(ends.first + b"\n" + ends.last)
    return Examined(
        kind, inside, hashing.size, ends.size, hashing.hash.hexdigest(), problem, *named, entries,
        tuple(sorted(word.decode() for word in ends.wanted)),
    )  # fmt: skip


def named_in(ends: bytes) -> tuple[tuple[str, ...], str, str]:
    """The databases, the server's version and the tool's, as the first and last lines of a dump say them."""
    said = ends.decode("utf-8", "replace")
    names = [next(filter(None, found)) for found in _DATABASE.findall(said)]
    return tuple(dict.fromkeys(names))[:50], _version(_SERVER, said), _version(_TOOL, said)


def inside_of(first: bytes) -> Inside:
    """What a stream is, by its first bytes."""
    return _inside(_Ends(first, b"", len(first)))


def _version(words: re.Pattern[str], said: str) -> str:
    found = words.search(said)
    return next(filter(None, found.groups()), "") if found else ""


def _inside(ends: _Ends) -> Inside:
    first = ends.first
    if not ends.size:
        return "empty"
    if first.startswith(b"PGDMP"):
        return "pgdmp"
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if first[257:262] == b"ustar" or (len(first) >= TAR_BLOCK and _tar_sum(first[:TAR_BLOCK])):
        return "tar"
    if _POSTGRES_HEAD.search(first[:2048]):
        return "postgres"
    if _MARIADB_HEAD.search(first[:2048]):
        return "mariadb"
    return "sql" if _SQL.match(first) else "unknown"


def _problem(path: Path, ends: _Ends, inside: Inside, tar: "_TarWalk", kind: Packed) -> str:
    match inside:
        case "empty":
            of = f" ({kind} of nothing: {path.stat().st_size} bytes)" if kind != "plain" else ""
            return f"it is empty{of}: whatever wrote it said nothing, and its exit code was not asked for"
        case "postgres" if not _POSTGRES_END.search(ends.last):
            return 'it is cut short: its last line is not "PostgreSQL database dump complete"'
        case "mariadb" if not _MARIADB_END.search(ends.last):
            return 'it is cut short: its last line is not "-- Dump completed"'
        case "tar":
            return tar.problem()
    return ""


def quick_problem(path: Path, wanted: Inside) -> str:
    """What the first and the last kilobytes give away; of a packed file the first ones. `wanted`: what it
    must be. Raises OSError never: what cannot be read is a problem."""
    try:
        with path.open("rb") as file:
            head = file.read(ENDS_BYTES)
            file.seek(max(0, path.stat().st_size - ENDS_BYTES))
            ends = _Ends(head, file.read(ENDS_BYTES), len(head))
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    kind = packed_as(head)
    inside = _inside(ends)
    if inside in {"pgdmp", "tar", "zip"}:
        return ""
    if kind != "plain":
        return _packed_problem(path, kind, wanted)
    if inside != wanted:
        return f"it is no dump of {wanted}: inside it is {inside}"
    return _problem(path, ends, inside, _TarWalk(), kind)


def first_of(path: Path) -> bytes:
    """The first kilobytes of a stream, unpacked. Raises OSError, Unsound."""
    first = bytearray()
    with path.open("rb") as file:
        for part in unpacked(file):
            first += part[: ENDS_BYTES - len(first)]
            if len(first) >= ENDS_BYTES:
                break
    return bytes(first)


def _packed_problem(path: Path, kind: Packed, wanted: Inside) -> str:
    """By the first kilobytes of what is packed."""
    try:
        first = first_of(path)
    except (OSError, Unsound) as error:
        return str(error)
    inside = inside_of(first)
    if inside == "empty":
        return _problem(path, _Ends(), inside, _TarWalk(), kind)
    known = {wanted, "pgdmp", "tar"}
    return "" if inside in known else f"it is no dump of {wanted}: inside the {kind} is {inside}"


def quick_archive_problem(path: Path) -> str:
    """What the ends of a tar or zip give away, without reading between."""
    try:
        with path.open("rb") as file:
            head = file.read(TAR_BLOCK)
            file.seek(max(0, path.stat().st_size - 2 * TAR_BLOCK))
            end = file.read(2 * TAR_BLOCK)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    inside = _inside(_Ends(head, end, len(head)))
    if inside == "tar" and any(end):
        return "the tar is cut short: its end is missing"
    if inside == "zip" and not zipfile.is_zipfile(path):
        return "the zip is cut short: its list of entries is missing"
    if packed_as(head) == "plain" and inside not in {"tar", "zip"}:
        return f"it is no archive: inside it is {inside}"
    return ""


class _TarWalk:
    """Walks over the headers of a tar as it streams by: sums, sizes, the two empty blocks at its end."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = 0
        self._zeros = 0
        self._bad = ""
        self._is = True
        self.entries = 0

    def take(self, data: bytes) -> None:
        if not self._is or self._bad:
            return
        if self._skip >= len(data) and not self._rest:
            self._skip -= len(data)
            return
        data = self._rest + data
        at = self._skip
        while at + TAR_BLOCK <= len(data) and self._zeros < 2:
            block = data[at : at + TAR_BLOCK]
            at += TAR_BLOCK
            if not any(block):
                self._zeros += 1
                continue
            self._zeros = 0
            if not _tar_sum(block):
                self._is = self.entries > 0
                self._bad = f"the header of entry {self.entries + 1} does not have the sum that it says"
                return
            if block[156:157] == b"S" and block[482]:  # a sparse file with more headers: nobody counts them
                self._is = False
                return
            if block[156:157] not in b"xgLK":
                self.entries += 1
            size = _tar_number(block[124:136]) if block[156:157] not in b"12345" else 0
            at += -(-size // TAR_BLOCK) * TAR_BLOCK
        if self._zeros >= 2:
            self._is = bool(self.entries)
            self._rest, self._skip = b"", INNER_MAX_BYTES
            return
        self._rest = data[at:] if at < len(data) else b""
        self._skip = max(0, at - len(data))

    def problem(self) -> str:
        if self._bad:
            return f"the tar is damaged: {self._bad}"
        if self._zeros < 2 and self._is:
            return f"the tar is cut short after {self.entries} entries: its end is missing"
        return "" if self.entries else "the tar has no entry"


def _tar_sum(block: bytes) -> bool:
    """Whether a block is a header of a tar. Source: POSIX.1-1988 ustar, the field chksum."""
    said = _tar_number(block[148:156])
    return said == sum(block[:148]) + 256 + sum(block[156:])


def _tar_number(data: bytes) -> int:
    if data[:1] and data[0] & 0x80:
        return int.from_bytes(bytes([data[0] & 0x7F]) + data[1:])
    try:
        return int(data.strip(b" \0") or b"0", 8)
    except ValueError:
        return -1


def _zip_problem(path: Path, going: Going) -> tuple[str, int | None]:
    """By its central directory, and every entry against its sum; what is encrypted is only listed."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.infolist()
            if not names or len(names) > ENTRIES_MAX:
                return f"the zip has {len(names)} entries", len(names)
            for one in names:
                if not going():
                    raise Stopped
                if one.flag_bits & 1:
                    continue
                size = 0
                with archive.open(one) as entry:
                    while data := entry.read(OUT_BYTES):
                        size += len(data)
                        if size > RATIO_FROM_BYTES and size > one.compress_size * RATIO_MAX:
                            return f"{one.filename} unpacks to more than anybody backs up", len(names)
            return "", len(names)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        return f"the zip is damaged: {error}", None


def versions_problem(examined: Examined) -> str:
    """A dump tool that is older than its server leaves out what it does not know. The first number decides
    for PostgreSQL, the first two for MariaDB."""
    parts = 2 if examined.inside == "mariadb" else 1
    server, tool = (_numbers(one)[:parts] for one in (examined.server, examined.tool))
    if server and tool and tool < server:
        return (
            f"it was made by a tool of version {examined.tool}, which is older than its server "
            f"{examined.server}: install the server's own tool"
        )
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version))
