"""The deletion of a client, in steps that can be done again after a crash, and the certificate at its end.

Nothing of the client is taken in any more when this begins (actions.order_deletion). First what waits in the
queues passes, then the telemetry goes, then everything in the business tables in one transaction with the
erasing of the journal, then the files. The last step looks again, at every table, and only then is it said.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, transaction
from django.db.models import CharField, JSONField, Q, QuerySet, TextField
from django.db.models.functions import Cast

from forestall.alerts.models import Evidence
from forestall.backups.models import Proof
from forestall.estate.models import Asset, Client, Collector, Person
from forestall.estate.values import Role
from forestall.findings.gate import every
from forestall.intake.cursors import BEGINNING, read_checkpoint
from forestall.intake.envelope import decode_envelope
from forestall.intake.models import RejectedInput, Stranger
from forestall.intake.queue import QueueReader
from forestall.intake.ranges import list_queues
from forestall.journal.actions import append, sign_checkpoint
from forestall.keeping import erasing
from forestall.keeping.models import Deletion
from forestall.keeping.reach import rows_of, tables
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.mail.blobs import Blobs
from forestall.mail.models import Attachment, Message
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.forgetting import count_rows, forget_client, tables_of_nobody

SETTLE = timedelta(seconds=15)  # by then every process has read the estate again
DIGEST_CHARS = 64
DRAIN_MOST_S = 300.0
FORGET_MOST_S = 3600.0
REWRITE_MOST_S = 120.0
POLL_S = 0.25
STEP = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """What is looked for: identifiers and addresses of the client, its collectors and its people. `people`:
    identifiers and addresses of mail."""

    client: str
    collectors: list[str]
    addresses: list[str]
    people: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """By what its people are named."""
        return [name for person in self.people for name in person]

    @property
    def needles(self) -> list[str]:
        """What no text may hold afterwards."""
        return [self.client, *self.collectors, *self.names]


class Busy(Trouble):
    """Another process is at it."""


def carry_out(
    deletion: Deletion,
    data: DataDir,
    store: Store,
    *,
    now: Callable[[], datetime],
    settle: timedelta = SETTLE,
) -> int:
    """Delete the client; the number of the journal entry that certifies it. Raises Trouble when a step
    cannot be done now: what was done stays done, the order stays."""
    client = deletion.client
    if deletion.done_at is not None and deletion.proof_seq is not None:
        return deletion.proof_seq
    with _alone(data):
        deletion.refresh_from_db()
        if deletion.proof_seq is not None:
            return deletion.proof_seq
        found = _look(client)
        _drain(data, until=deletion.ordered_at + settle, now=now)
        telemetry = _forget_telemetry(store, client)
        digests = list(every(Evidence).filter(client=client).values_list("sha256", flat=True))
        digests += list(
            every(Proof).filter(client=client).exclude(sha256="").values_list("sha256", flat=True)
        )
        certificate: dict[str, Any] = {
            "client": client,
            "ordered_at": deletion.ordered_at.isoformat(),
            "telemetry": telemetry,
            "evidence_files": _drop_evidence(data, client, digests),
            "set_aside_frames": _drop_poison(data, found),
            "quarantine_files": _drop_quarantine(data, found),
            "mail_files": _drop_mail(data, client),
        }
        with transaction.atomic():
            _overwrite_freed_space()
            certificate["tables"] = _delete_rows(found)
            certificate["people"] = _delete_people(found)
            certificate["journal"] = _erase(found)
            certificate["still_named_in"] = _named_in(found.needles)
            if certificate["still_named_in"]:
                raise Trouble(
                    f"the client is still named in {', '.join(certificate['still_named_in'])}",
                    "This is a mistake of Forestall: nothing was deleted from the tables. Report it.",
                )
            at = now()
            certificate["queues"] = _queue_bytes(data)
            deletion.done_at, deletion.error = at, ""
            deletion.proof_seq = append(
                "client.deleted",
                client=client,
                subject=client,
                actor=deletion.ordered_by,
                at=at,
                body=certificate,
            )
            deletion.save()
        if why := _let_go_of_freed_space():
            deletion.error = why
            deletion.save(update_fields=["error"])
        sign_checkpoint(at=now())
        return deletion.proof_seq


def _look(client: str) -> Found:
    addresses = [
        text for row in every(Asset).filter(client=client).values_list("addresses", flat=True) for text in row
    ]
    people = [
        (person.pk, person.email)
        for person in Person.objects.filter(role=Role.CLIENT_CONTACT, clients=client).distinct()
        if set(person.clients.values_list("pk", flat=True)) == {client}
    ]
    collectors = every(Collector).filter(client=client).values_list("pk", flat=True)
    texts = [text for text in addresses if isinstance(text, str)]
    return Found(client, list(collectors), texts, people)


def _drain(data: DataDir, *, until: datetime, now: Callable[[], datetime]) -> None:
    """Wait until nothing of the client can be in the queues any more: everything that was taken in before
    every process knew of the order has passed both sides."""
    while now() < until:
        time.sleep(POLL_S)
    ends = {name: QueueReader(data.queue / name).end() for name in list_queues(data.queue)}
    deadline = time.monotonic() + DRAIN_MOST_S
    while True:
        waiting = set()
        for side in ("judge", "store"):
            kept = read_checkpoint(data.queue / "cursors" / side)
            places = kept.places if kept else {}
            waiting |= {
                name
                for name, end in ends.items()
                if (at := places.get(name, BEGINNING).at) < end
                and QueueReader(data.queue / name).read(at, max_bytes=1)
            }
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise Trouble(
                f"observations still wait in the queue {sorted(waiting)[0]}",
                "Forestall must run, with its store: look with forestall doctor. It is tried again.",
            )
        time.sleep(POLL_S)


def _forget_telemetry(store: Store, client: str) -> dict[str, Any]:
    number = to_number(client)
    try:
        before = count_rows(store, number)
        forget_client(store, number, wait_s=FORGET_MOST_S)
        return {
            "before": before,
            "after": count_rows(store, number),
            "tables_without_clients": tables_of_nobody(store),
        }
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble(f"the telemetry cannot be deleted now: {error}", "It is tried again.") from error


def _delete_rows(found: Found) -> dict[str, list[int]]:
    """Rows before and after, by table. Constraints are looked at when the transaction ends, so the order
    does not matter to them; it matters to how rows are found (reach.tables)."""
    counts = {}
    reached = tables()
    before = {model: rows_of(model, ways, found.client).count() for model, ways in reached}
    strays = _strangers(found)
    counts["intake.Stranger of its addresses"] = [strays.count(), 0]
    strays.delete()
    for model, ways in reached:
        rows_of(model, ways, found.client)._raw_delete(using=connection.alias)
    refused = RejectedInput.objects.filter(client=None, sender__in=[*found.collectors, *found.addresses])
    counts["intake.RejectedInput of its addresses"] = [refused.count(), 0]
    refused.delete()
    for model, ways in reached:
        counts[model._meta.label] = [before[model], rows_of(model, ways, found.client).count()]
    own = Client.objects.filter(pk=found.client)
    counts["estate.Client"] = [own.count(), 0]
    own._raw_delete(using=connection.alias)
    return {label: numbers for label, numbers in sorted(counts.items()) if any(numbers)}


def _delete_people(found: Found) -> int:
    """People who are contacts of this client alone, with their sessions."""
    identifiers = [identifier for identifier, _ in found.people]
    if identifiers:
        for session in Session.objects.iterator(STEP):
            if session.get_decoded().get("_auth_user_id") in identifiers:
                session.delete()
    Person.objects.filter(pk__in=identifiers).delete()
    return len(identifiers)


def _erase(found: Found) -> dict[str, Any]:
    gone = erasing.erase(found.client, found.needles, found.names)
    return {"erased": len(gone), "sha256": erasing.digest_of(gone), "spans": erasing.spans_of(gone)[:STEP]}


def _named_in(needles: list[str]) -> list[str]:
    """Tables and columns of any text in which the client is still named, but for the record of this."""
    allowed = {
        "journal.Entry.client",
        "journal.Entry.subject",
        "journal.Entry.body",  # of the order alone; erasing has read the others
        "keeping.Deletion.client",
    }
    named = []
    for model in apps.get_models(include_auto_created=True):
        for column in model._meta.concrete_fields:
            label = f"{model._meta.label}.{column.name}"
            if label in allowed or not (
                isinstance(column, CharField | TextField | JSONField) or column.is_relation
            ):
                continue
            condition = Q()
            for needle in needles:
                condition |= Q(text_of_it__contains=needle)
            rows = model._base_manager.annotate(text_of_it=Cast(column.attname, TextField()))
            if rows.filter(condition).exists():
                named.append(label)
    return named


def _drop_evidence(data: DataDir, client: str, digests: list[str]) -> int:
    others = every(Evidence).exclude(client=client).filter(sha256__in=digests)
    gone = set(digests) - set(others.values_list("sha256", flat=True))
    for digest in gone:
        (data.evidence / f"{digest}.json.zst").unlink(missing_ok=True)
    return len(gone)


def _drop_poison(data: DataDir, found: Found) -> int:
    """Frames of the client that were set aside by mistakes of ours."""
    gone = 0
    for path in sorted((data.queue / "poison").glob("*.frames")):
        try:
            frames = msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])
        except msgspec.MsgspecError:
            frames = []
        kept = [frame for frame in frames if not _is_theirs(frame, found)]
        gone += len(frames) - len(kept)
        if not kept:
            path.unlink(missing_ok=True)
        elif len(kept) < len(frames):
            path.write_bytes(msgspec.msgpack.encode(kept))
    return gone


def _strangers(found: Found) -> "QuerySet[Stranger]":
    """Senders in quarantine inside the client, said to be its, or with one of its addresses."""
    theirs = Q(client=found.client) | Q(asset__client=found.client)
    return Stranger.objects.filter(theirs | Q(client=None, sender__in=found.addresses))


def _drop_quarantine(data: DataDir, found: Found) -> int:
    """The files in which their frames wait: they are named by the row."""
    files = [path for row in _strangers(found) for path in data.quarantine.glob(f"{row.pk}*")]
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def _drop_mail(data: DataDir, client: str) -> int:
    """The bytes of its messages and their attachments, but for those that another message has too."""
    messages, parts = every(Message).filter(client=client), Attachment.objects.filter(message__client=client)
    others = set(every(Message).exclude(client=client).values_list("digest", flat=True))
    others |= set(Attachment.objects.exclude(message__client=client).values_list("digest", flat=True))
    theirs = {*messages.values_list("digest", flat=True), *parts.values_list("digest", flat=True)}
    gone = {digest for digest in theirs - others if len(digest) == DIGEST_CHARS}
    blobs = Blobs(data.mail / "blobs")
    for digest in gone:
        blobs.forget(digest)
    return len(gone)


def _is_theirs(frame: bytes, found: Found) -> bool:
    try:
        envelope = decode_envelope(frame)
    except ValueError:
        return found.client.encode() in frame
    return (
        envelope.client == found.client
        or envelope.collector in found.collectors
        or envelope.peer in found.addresses
    )


def _queue_bytes(data: DataDir) -> dict[str, int]:
    """What the queues' files have: passed frames stay in a segment until it is full, at most 64 MB each."""
    return {name: QueueReader(data.queue / name).size_bytes() for name in list_queues(data.queue)}


def _overwrite_freed_space() -> None:
    """SQLite leaves deleted rows in its file; from here on it writes zeros over them."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def _let_go_of_freed_space() -> str:
    """Old pages hold old copies of rows, in the file and in the write-ahead log (SQLite), and so do tables
    (PostgreSQL): all is written anew. Why that was not possible now, or ""."""
    deadline = time.monotonic() + REWRITE_MOST_S
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute("VACUUM FULL")
            return ""
        cursor.execute("PRAGMA secure_delete = OFF")
        for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            while True:
                try:
                    cursor.execute(statement)
                    if not any(
                        row[0] for row in cursor.fetchall()
                    ):  # a checkpoint says whether it was kept off
                        break
                    why = "somebody reads"
                except OperationalError as error:
                    why = str(error)
                if time.monotonic() > deadline:
                    return f"the database's file may hold old copies ({why}): run VACUUM on it"
                time.sleep(POLL_S)
    return ""


@contextmanager
def _alone(data: DataDir) -> Iterator[None]:
    """One deletion at a time. Raises Busy."""
    path: Path = data.run / "deletion.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("a deletion is being carried out already", "Wait until it is done.") from None
        yield
