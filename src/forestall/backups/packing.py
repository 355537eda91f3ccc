"""Reports as bytes, and a run's row as the report that it stands for."""

import threading
from typing import Any, TypeVar

import msgspec
import zstandard

from forestall.backups.models import BackupRun
from forestall.kernel.backups import ProofReport, RepositoryReport, RunReport
from forestall.kernel.clock import to_ms

UNPACKED_MAX_BYTES = 8 << 20
_DECODERS: dict[type, Any] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (RunReport, RepositoryReport, ProofReport)
}
_here = threading.local()  # a decompressor is for one thread
T = TypeVar("T", RunReport, RepositoryReport, ProofReport)


def pack(report: RunReport | RepositoryReport | ProofReport) -> bytes:
    """Msgpack, compressed."""
    return zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(report))


def unpack(data: bytes | memoryview | None, kind: type[T]) -> T:
    """Raises ValueError when it is no such report."""
    try:
        plain = _decompressor().decompress(bytes(data or b""), max_output_size=UNPACKED_MAX_BYTES)
        found: T = _DECODERS[kind].decode(plain)
        return found
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise ValueError(f"a kept report cannot be read: {error}") from error


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_here, "decompressor"):
        _here.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _here.decompressor
    return found


def run_of(row: BackupRun) -> RunReport:
    """The report of a run; of an old one what the columns say."""
    if row.report is not None:
        return unpack(row.report, RunReport)
    return RunReport(
        plan=row.plan_id,
        run=row.run,
        at_ms=row.heard_ms or to_ms(row.at),
        by=row.by,  # type: ignore[arg-type]
        said=row.said,  # type: ignore[arg-type]
        began_ms=to_ms(row.began_at) if row.began_at else None,
        ended_ms=to_ms(row.ended_at) if row.ended_at else None,
        reason=row.reason,
        exit_code=row.exit_code,
        copy=row.copy,
        files=row.files,
        size=row.size,
        files_new=row.files_new,
        files_changed=row.files_changed,
        files_removed=row.files_removed,
        added=row.added,
        entropy=row.entropy,
        renamed=row.renamed,
    )


def without_copies(report: RepositoryReport) -> RepositoryReport:
    """What is kept of a look that is not the newest."""
    return msgspec.structs.replace(report, copies=[], locks=[])


def without_words(report: RunReport) -> RunReport:
    """What is kept of an older run: without what the tool said."""
    return msgspec.structs.replace(report, output="", excludes=None)
