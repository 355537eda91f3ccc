"""Evidence: what was observed around a finding, gathered and sealed before a person is told.

A bundle is canonical JSON. Its SHA-256 goes into the journal; the bytes lie zstd-compressed under
`data/evidence/<sha256>.json.zst`. A source that fails is named in the bundle, which is sealed all the same:
telling never waits longer than GATHER_MOST_S. `export` writes a file that an outsider verifies without us.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import zstandard
from django.db import transaction
from django.db.models import Exists, OuterRef

from forestall.alerts.models import Evidence
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.findings.models import OPEN, Finding
from forestall.journal.actions import append
from forestall.journal.bundles import export_bundle, path_of, plain, write_bundle
from forestall.journal.models import Entry
from forestall.journal.verify import FORMAT, canonical
from forestall.kernel.errors import Trouble

ACTOR = "forestall:evidence"
BEFORE = timedelta(minutes=30)  # how far back a bundle looks
GATHER_MOST_S = 10.0  # for all findings of one call; what is not there by then is named as missing
SOURCE_MOST_S = 3.0
PART_MAX_BYTES = 2 << 20
INLINE_MAX_CHARS = 20_000
UNSEALED_MOST = 500


class Reader(Protocol):
    """Where the parts of a bundle come from. Each answers with plain JSON values (dicts, lists, text,
    numbers) within `timeout_s`, or raises: the exception's text is the reason that the bundle gives."""

    def series(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        """The series that the finding stands on, and its neighbours."""
        ...

    def log_lines(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        """The asset's log lines, oldest first."""
        ...

    def snapshots(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        """The asset's last configurations."""
        ...

    def changes(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        """The asset's last changes, newest first."""
        ...

    def pack(self, finding: Finding, *, timeout_s: float) -> dict[str, Any]:
        """The spec pack that judged: name, version, text."""
        ...


class NoReader:
    """Stands in when no source can be asked: the bundle then holds the finding alone, and says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    def series(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        raise RuntimeError(self._why)

    def log_lines(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        raise RuntimeError(self._why)

    def snapshots(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        raise RuntimeError(self._why)

    def changes(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        raise RuntimeError(self._why)

    def pack(self, finding: Finding, *, timeout_s: float) -> dict[str, Any]:
        raise RuntimeError(self._why)


def gather(
    finding: Finding, reader: Reader, *, now: datetime, budget_s: float = GATHER_MOST_S
) -> dict[str, Any]:
    """The bundle of a finding (needs its `client` and `asset`). Never raises because of a source: what is
    missing stands under `missing`, with the reason."""
    from_at, to_at = min(finding.began_at, now) - BEFORE, now
    bundle: dict[str, Any] = {
        "format": FORMAT,
        "sealed_at": now.isoformat(),
        "from": from_at.isoformat(),
        "to": to_at.isoformat(),
        "client": {"id": finding.client_id, "name": finding.client.name},
        "asset": {"id": finding.asset_id, "name": finding.asset.name, "kind": finding.asset.kind},
        "finding": _finding(finding),
        "answer": finding.answer,
    }
    sources: dict[str, Callable[[float], Any]] = {
        "series": lambda s: reader.series(finding, from_at=from_at, to_at=to_at, timeout_s=s),
        "log_lines": lambda s: reader.log_lines(finding, from_at=from_at, to_at=to_at, timeout_s=s),
        "snapshots": lambda s: reader.snapshots(finding, to_at=to_at, timeout_s=s),
        "changes": lambda s: reader.changes(finding, to_at=to_at, timeout_s=s),
        "pack": lambda s: reader.pack(finding, timeout_s=s),
    }
    missing: list[dict[str, str]] = []
    ends_at = time.monotonic() + budget_s
    for name, ask in sources.items():
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            missing.append({"what": name, "why": f"not asked: the {budget_s:g} s for evidence were used up"})
            continue
        try:
            part = plain(ask(min(left_s, SOURCE_MOST_S)))
        except Exception as error:  # whatever a source does, telling goes on and the bundle says why
            missing.append({"what": name, "why": f"{type(error).__name__}: {error}"[:500]})
            continue
        size = len(canonical(part))
        if size > PART_MAX_BYTES:
            missing.append({"what": name, "why": f"left out: {size} bytes, at most {PART_MAX_BYTES}"})
        else:
            bundle[name] = part
    bundle["missing"] = missing
    return bundle


def seal(finding: Finding, bundle: dict[str, Any], *, now: datetime) -> Evidence:
    """Write the bundle's file (fsync), then its row and journal entry in one transaction.

    When the file cannot be written (a full disk), the finding itself is sealed inside the journal entry,
    which says why the rest is not kept. Raises only when the database fails.
    """
    data = canonical(plain(bundle))
    kept: dict[str, Any] = {}
    try:
        digest = write_bundle(data)
    except OSError as error:
        inline = {
            key: bundle[key] for key in ("format", "sealed_at", "from", "to", "client", "asset", "finding")
        }
        inline["missing"] = [
            {"what": "everything else", "why": f"the file was not written: {error.strerror}"}
        ]
        inline["finding"] = {**inline["finding"], "answer": bundle.get("answer", "")[:INLINE_MAX_CHARS]}
        kept = {"inline": plain(inline)}
        data = canonical(kept["inline"])
        digest = hashlib.sha256(data).hexdigest()
    with transaction.atomic():
        evidence = Evidence(
            client_id=finding.client_id,
            asset_id=finding.asset_id,
            finding=finding,
            sha256=digest,
            size_bytes=len(data),
            sealed_at=now,
        )
        evidence.journal_seq = append(
            "evidence.sealed",
            client=finding.client_id,
            subject=evidence.pk,
            actor=ACTOR,
            at=now,
            body={
                "sha256": digest,
                "size_bytes": len(data),
                "finding": finding.pk,
                "asset": finding.asset_id,
                "missing": [part["what"] for part in bundle.get("missing", [])],
                **kept,
            },
        )
        evidence.save(force_insert=True)
    return evidence


def seal_missing(
    findings: Iterable[Finding], reader: Reader, *, now: datetime, budget_s: float = GATHER_MOST_S
) -> list[Evidence]:
    """Gather and seal for every one of these findings that has no evidence yet. All together take about
    `budget_s`; what comes later is sealed with what there is."""
    wanted = {finding.pk: finding for finding in findings}
    have = set(every(Evidence).filter(finding__in=wanted).values_list("finding", flat=True))
    rows = every(Finding).select_related("client", "asset").filter(pk__in=set(wanted) - have)
    ends_at = time.monotonic() + budget_s
    return [
        seal(
            finding,
            gather(finding, reader, now=now, budget_s=max(ends_at - time.monotonic(), 0.0)),
            now=now,
        )
        for finding in rows.order_by("-concern", "opened_at", "pk")
    ]


def list_unsealed(*, most: int = UNSEALED_MOST) -> list[Finding]:
    """Open findings that may be told and have no evidence: after a crash between a finding and its seal.
    The worst first; hand them to `seal_missing` before alerts are looked at."""
    sealed = every(Evidence).filter(finding=OuterRef("pk"))
    rows = every(Finding).filter(OPEN, tells=True, asset__archived_at=None).exclude(Exists(sealed))
    return list(rows.order_by("-concern", "opened_at", "pk")[:most])


def load_bundle(scope: Scope, evidence: str) -> dict[str, Any]:
    """The sealed bundle, checked against its hash.

    Raises Evidence.DoesNotExist for what the scope does not see, Trouble when the file is gone or altered.
    """
    row = seen(Evidence, scope).get(pk=evidence)
    path = path_of(row.sha256)
    try:
        data = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=row.size_bytes)
    except FileNotFoundError:
        body = json.loads(bytes(Entry.objects.values_list("body", flat=True).get(seq=row.journal_seq)))
        if "inline" not in body["body"]:
            raise Trouble(
                f"the evidence file {path.name} is gone",
                "Restore it from a backup; its hash is in the journal.",
            ) from None
        data = canonical(body["body"]["inline"])
    except (zstandard.ZstdError, OSError) as error:
        raise Trouble(f"the evidence file {path.name} cannot be read: {error}", "Restore it.") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise Trouble(
            f"the evidence file {path.name} was altered: its hash is not the one in the journal",
            "Restore it.",
        )
    bundle: dict[str, Any] = json.loads(data)
    return bundle


def export(scope: Scope, evidence: str, *, path: Path, now: datetime) -> None:
    """Write the evidence as one file for an outsider (see `export_document`)."""
    path.write_bytes(export_document(scope, evidence, now=now))


def export_document(scope: Scope, evidence: str, *, now: datetime) -> bytes:
    """The bundle of an evidence as `export_bundle` gives it. Raises what `load_bundle` raises."""
    bundle = load_bundle(scope, evidence)
    row = seen(Evidence, scope).get(pk=evidence)
    return export_bundle(bundle, seq=row.journal_seq, now=now)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.pk,
        "rule": finding.rule,
        "item": finding.item,
        "metric": finding.metric,
        "pack": finding.pack,
        "pack_version": finding.pack_version,
        "state": finding.state,
        "began_at": finding.began_at.isoformat(),
        "opened_at": finding.opened_at.isoformat(),
        "reason": finding.reason,
        "why": finding.why,
        "first_step": finding.first_step,
        "numbers": finding.numbers,
    }
