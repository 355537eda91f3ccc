"""The seal of a proof: its bundle as a file named by its SHA-256, the hash in the journal, and the file that
an outsider verifies without us (`forestall evidence verify`).

Restores and failures are sealed when they come, other proofs when a person asks for the document.
"""

from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from forestall.backups.models import Proof
from forestall.backups.packing import unpack
from forestall.estate.tenancy import Scope, system_scope
from forestall.journal.actions import append
from forestall.journal.bundles import export_bundle, load_kept, plain, write_bundle
from forestall.journal.verify import PROOF_FORMAT, canonical
from forestall.kernel.backups import ProofReport
from forestall.kernel.errors import Trouble

ACTOR = "forestall:evidence"
RESTORES_LEVEL = 4
SEAL_AT_ONCE = 50
SCOPE = system_scope("backups")


def must_be_sealed(row: Proof) -> bool:
    """Whether a proof is sealed by itself."""
    return not row.skipped and (row.level >= RESTORES_LEVEL or not row.ok)


def bundle_of(row: Proof, report: ProofReport, *, now: datetime) -> dict[str, Any]:
    """What is sealed of a proof: the plan as it was, and everything that was reported."""
    plan = row.plan
    return {
        "format": PROOF_FORMAT,
        "sealed_at": now.isoformat(),
        "client": {"id": row.client_id, "name": row.client.name},
        "asset": {"id": plan.asset_id, "name": plan.asset.name, "kind": plan.asset.kind},
        "plan": {
            "id": plan.pk, "name": plan.name, "tool": plan.tool, "repository": plan.repository,
            "sources": plan.sources, "every_s": plan.every_s, "rto_s": plan.rto_s, "copies": plan.copies,
        },
        "proof": msgspec.to_builtins(report),
    }  # fmt: skip


def seal_proof(row: Proof, *, now: datetime) -> Proof:
    """Write the bundle's file (fsync), then the journal entry with its hash and the row; once. Raises OSError
    when the file cannot be written: the proof is then sealed later."""
    if row.seq is not None:
        return row
    report = unpack(row.report, ProofReport)
    data = canonical(plain(bundle_of(row, report, now=now)))
    digest = write_bundle(data)
    with transaction.atomic():
        held = Proof.objects.of(SCOPE).select_for_update().get(pk=row.pk)
        if held.seq is None:
            held.seq = append(
                "backup.proof_sealed", client=row.client_id, subject=row.pk, actor=ACTOR, at=now,
                body=_entry(row, report, digest),
            )  # fmt: skip
            held.sha256, held.size_bytes, held.sealed_at = digest, len(data), now
            held.save(update_fields=["sha256", "size_bytes", "sealed_at", "seq"])
    row.sha256, row.size_bytes, row.sealed_at, row.seq = (
        held.sha256, held.size_bytes, held.sealed_at, held.seq,
    )  # fmt: skip
    return row


def list_unsealed(*, most: int = SEAL_AT_ONCE) -> list[Proof]:
    """Proofs that should be sealed and are not: a crash or a full disk came between. The oldest first."""
    rows = Proof.objects.of(SCOPE).filter(seq=None, skipped=False).select_related("client", "plan__asset")
    rows = rows.filter(level__gte=RESTORES_LEVEL) | rows.filter(ok=False)
    return list(rows.order_by("ended_at")[:most])


def export_proof(scope: Scope, proof: str, *, now: datetime) -> bytes:
    """The proof as one file for an outsider; sealed now if it was not. Raises Proof.DoesNotExist for what the
    scope does not see, Trouble when the bundle is gone or altered, or cannot be written."""
    row = seal_now(scope, proof, now=now)
    assert row.seq is not None
    return export_bundle(load_kept(row.sha256), seq=row.seq, now=now)


def seal_now(scope: Scope, proof: str, *, now: datetime) -> Proof:
    """The proof, sealed. Raises Proof.DoesNotExist, Trouble when the file cannot be written."""
    row = Proof.objects.of(scope).select_related("client", "plan__asset").get(pk=proof)
    try:
        return seal_proof(row, now=now)
    except OSError as error:
        raise Trouble(
            f"the proof cannot be sealed: {error.strerror}", "Make room on the disk of this installation."
        ) from error


def _entry(row: Proof, report: ProofReport, digest: str) -> dict[str, Any]:
    """What the journal says of it: an outsider reads the outcome there too."""
    return {
        "sha256": digest, "plan": row.plan_id, "asset": row.plan.asset_id, "work": report.work,
        "level": row.level, "ok": report.ok, "copy": report.copy,
        "manifest": report.manifest.root if report.manifest else "", "files_equal": report.files_equal,
        "files_expected": report.files_expected, "mismatches": report.mismatches_total,
        "rpo_ms": report.rpo_ms, "rto_ms": report.rto_ms, "reason": report.reason[:500],
    }  # fmt: skip
