"""Sealed bundles as files: canonical JSON, zstd-compressed, under `data/evidence/<sha256>.json.zst`. The
hash stands in the journal; whoever seals writes the file first. `export_bundle` makes what
`journal.verify` checks.
"""

import hashlib
import json
import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import zstandard
from django.conf import settings

from forestall.journal.actions import installation_signer, sign_checkpoint
from forestall.journal.models import Entry
from forestall.journal.queries import inclusion, last_checkpoint
from forestall.journal.verify import EXPORT_MAX_BYTES, canonical, document
from forestall.kernel.durable import make_directory
from forestall.kernel.errors import Trouble


def keep_bundle(bundle: dict[str, Any]) -> tuple[str, str]:
    """Write a bundle's file: its SHA-256, and why it was not kept ("" it was)."""
    data = canonical(plain(bundle))
    try:
        return write_bundle(data), ""
    except OSError as error:
        return hashlib.sha256(data).hexdigest(), f"the file was not written: {error.strerror}"


def load_kept(digest: str) -> dict[str, Any]:
    """The bundle of that SHA-256. Raises Trouble when its file is gone or altered."""
    path = path_of(digest)
    try:
        packed = path.read_bytes()
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=EXPORT_MAX_BYTES)
    except (zstandard.ZstdError, OSError) as error:
        raise Trouble(
            f"the evidence file {path.name} cannot be read: {error}",
            "Restore it from a backup; its hash is in the journal.",
        ) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise Trouble(
            f"the evidence file {path.name} was altered: its hash is not the one in the journal",
            "Restore it.",
        )
    bundle: dict[str, Any] = json.loads(data)
    return bundle


def export_bundle(bundle: dict[str, Any], *, seq: int, now: datetime) -> bytes:
    """A bundle that the journal's entry `seq` sealed, as one file for an outsider: with that entry, the proof
    that it is in the journal, a signed checkpoint and the public key. Raises Trouble."""
    checkpoint = last_checkpoint(seq + 1) or sign_checkpoint(at=now)
    if checkpoint is None:
        raise Trouble("the journal has no checkpoint that covers this evidence", "Run forestall doctor.")
    entry = bytes(Entry.objects.values_list("body", flat=True).get(seq=seq))
    return document(
        bundle=bundle,
        entry=entry.decode(),
        seq=seq,
        proof=inclusion(seq, checkpoint.size),
        checkpoint=checkpoint.note,
        public_key=installation_signer().public_key,
    )


def path_of(digest: str) -> Path:
    """Where the bundle of that SHA-256 lies."""
    return Path(settings.DATA.evidence) / f"{digest}.json.zst"


def write_bundle(data: bytes) -> str:
    """The bytes under their hash, on the disk when this returns. Raises OSError."""
    digest = hashlib.sha256(data).hexdigest()
    path = path_of(digest)
    if path.exists():
        return digest
    make_directory(path.parent)
    temporary = path.with_name(f".{digest}.{os.getpid()}")
    packed = zstandard.ZstdCompressor(level=6, write_checksum=True).compress(data)
    try:
        with temporary.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return digest


def plain(value: Any) -> Any:
    """Values that canonical JSON can hold: numbers that are not finite become None, the rest text."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
