"""The certificate of a deletion, for an outsider: what was deleted, proved to stand in the journal.

`check` needs no server: the entry's leaf, the path to the root, the signed checkpoint.
"""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from forestall.estate.tenancy import Scope
from forestall.journal import merkle, queries, seal
from forestall.journal.actions import installation_signer, sign_checkpoint
from forestall.journal.models import Entry
from forestall.keeping.queries import find_deletion
from forestall.kernel.errors import Trouble

FORMAT = "forestall/deletion 1"
ARCHIVES = "forestall-*.tar.zst"


def certificate(scope: Scope, client: str, *, archives: Path | None, now: datetime) -> dict[str, Any]:
    """The certificate as JSON values. `archives`: where backups are kept; those that were made before the
    deletion still hold the client until they go, and are named. Raises Trouble when there is none."""
    deletion = find_deletion(scope, client)
    if deletion is None or deletion.proof_seq is None or deletion.done_at is None:
        why = deletion.error if deletion else ""
        raise Trouble(
            f"it is not done yet. {why}".strip() if deletion else f"{client} was not deleted",
            "Look again later, or see forestall doctor." if deletion else "Give the identifier that it had.",
        )
    checkpoint = queries.last_checkpoint(deletion.proof_seq + 1) or sign_checkpoint(at=now)
    if checkpoint is None:
        raise Trouble("the journal has no checkpoint that covers the deletion", "Run forestall doctor.")
    entry = bytes(Entry.objects.get(seq=deletion.proof_seq).body).decode()
    older = [
        path.name
        for path in sorted(archives.glob(ARCHIVES) if archives else ())
        if path.stat().st_mtime < deletion.done_at.timestamp()
    ]
    return {
        "format": FORMAT,
        "entry": entry,
        "seq": deletion.proof_seq,
        "proof": [
            base64.b64encode(step).decode() for step in queries.inclusion(deletion.proof_seq, checkpoint.size)
        ],
        "checkpoint": checkpoint.note,
        "public_key": base64.b64encode(installation_signer().public_key).decode(),
        "backups_made_before": older,
    }


def check(document: dict[str, Any]) -> dict[str, Any]:
    """What the certificate says, after it was verified. Raises ValueError in words when it does not fit."""
    if document.get("format") != FORMAT:
        raise ValueError("this is no certificate of a deletion")
    state = seal.open_checkpoint(document["checkpoint"], base64.b64decode(document["public_key"]))
    leaf = merkle.leaf_hash(document["entry"].encode())
    path = [base64.b64decode(step) for step in document["proof"]]
    if merkle.root_from_inclusion(document["seq"], state.size, leaf, path) != state.root:
        raise ValueError("the entry or its proof was altered: they do not lead to the signed root")
    entry: dict[str, Any] = json.loads(document["entry"])
    if entry["kind"] != "client.deleted":
        raise ValueError("the journal entry is not that of a deletion")
    return dict(entry["body"])
