"""Writes of the journal: append an entry, sign a checkpoint."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from forestall.journal import merkle
from forestall.journal.models import Checkpoint, Entry, Head, Node
from forestall.journal.queries import fetch_hash
from forestall.journal.seal import SignedState, Signer

BODY_MAX_BYTES = 65_536


def append(
    kind: str,
    *,
    actor: str,
    body: dict[str, Any],
    at: datetime,
    client: str = "",
    subject: str = "",
) -> int:
    """Append an entry and give its number. Runs inside the caller's transaction, so that an action and its
    record stand or fall together; appends wait for each other.

    Raises ValueError when the body is larger than BODY_MAX_BYTES.
    """
    with transaction.atomic():
        head, _ = Head.objects.select_for_update().get_or_create(id=1)
        seq = head.size
        leaf_body = canonical(
            {
                "seq": seq,
                "at": at.isoformat(),
                "kind": kind,
                "client": client,
                "subject": subject,
                "actor": actor,
                "body": body,
            }
        )
        if len(leaf_body) > BODY_MAX_BYTES:
            raise ValueError(
                f"a journal entry has at most {BODY_MAX_BYTES} bytes, this {kind} {len(leaf_body)}"
            )
        leaf = merkle.leaf_hash(leaf_body)
        Entry.objects.create(
            seq=seq,
            at=at,
            kind=kind,
            client=client,
            subject=subject,
            actor=actor,
            body=leaf_body,
            leaf_hash=leaf,
        )
        nodes = merkle.completed_by(seq, leaf, fetch_hash)
        Node.objects.bulk_create(
            Node(level=level, index=index, hash=digest) for level, index, digest in nodes
        )
        Head.objects.filter(id=1).update(size=seq + 1)
    return seq


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: the bytes that are hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def installation_signer() -> Signer:
    """The signer of this installation; its key lies in the data directory, outside the database."""
    return Signer(settings.DATA.key("journal"))


def sign_checkpoint(*, at: datetime) -> Checkpoint | None:
    """Sign the log as it stands; nothing when it is empty or has not grown since the last checkpoint."""
    with transaction.atomic():
        head = Head.objects.filter(id=1).first()
        if head is None or head.size == 0 or Checkpoint.objects.filter(size=head.size).exists():
            return None
        root = merkle.root_hash(head.size, fetch_hash)
        note = installation_signer().sign(SignedState(head.size, root))
        return Checkpoint.objects.create(size=head.size, root=root, at=at, note=note)
