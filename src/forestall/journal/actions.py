"""Writes of the journal: append an entry, sign a checkpoint."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from forestall.journal import merkle
from forestall.journal.models import Checkpoint, Entry, Head, Node
from forestall.journal.queries import fetch_hash
from forestall.journal.seal import SignedState, Signer

BODY_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Record:
    """What an entry says."""

    kind: str
    actor: str
    body: dict[str, Any]
    at: datetime
    client: str = ""
    subject: str = ""


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
    return append_all([Record(kind, actor, body, at, client, subject)])


def append_all(records: Sequence[Record]) -> int:
    """Append entries in this order, as `append` does, and give the number of the first."""
    with transaction.atomic():
        head, _ = Head.objects.select_for_update().get_or_create(id=1)
        entries: list[Entry] = []
        made: dict[tuple[int, int], bytes] = {}  # leaves and inner nodes, by level and index

        def fetch(level: int, index: int) -> bytes:
            own = made.get((level, index))
            return fetch_hash(level, index) if own is None else own

        for seq, record in enumerate(records, head.size):
            entries.append(_entry(seq, record))
            leaf = made[0, seq] = bytes(entries[-1].leaf_hash)
            made.update({(level, index): one for level, index, one in merkle.completed_by(seq, leaf, fetch)})
        Entry.objects.bulk_create(entries)
        Node.objects.bulk_create(
            Node(level=level, index=index, hash=digest) for (level, index), digest in made.items() if level
        )
        Head.objects.filter(id=1).update(size=head.size + len(entries))
    return int(head.size)


def _entry(seq: int, record: Record) -> Entry:
    said = {
        "seq": seq,
        "at": record.at.isoformat(),
        "kind": record.kind,
        "client": record.client,
        "subject": record.subject,
        "actor": record.actor,
        "body": record.body,
    }
    body = canonical(said)
    if len(body) > BODY_MAX_BYTES:
        raise ValueError(
            f"a journal entry has at most {BODY_MAX_BYTES} bytes, this {record.kind} {len(body)}"
        )
    return Entry(
        seq=seq, at=record.at, kind=record.kind, client=record.client, subject=record.subject,
        actor=record.actor, body=body, leaf_hash=merkle.leaf_hash(body),
    )  # fmt: skip


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
