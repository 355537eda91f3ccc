"""Deleting a client: every table enrols itself, nothing names it afterwards, the journal stays whole."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils import timezone

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store, write_logs
from estate_factories import EVERYTHING, make_asset, make_client, make_person
from forestall.alerts.evidence import load_bundle
from forestall.alerts.models import Evidence
from forestall.estate.models import Client, ClientKey, Person
from forestall.estate.values import Role
from forestall.estate.vault import seal
from forestall.journal import queries as journal
from forestall.journal.actions import append
from forestall.journal.models import Entry
from forestall.keeping.actions import hold, order_deletion, release_hold
from forestall.keeping.certificate import certificate, check
from forestall.keeping.checking import root_of
from forestall.keeping.deletion import carry_out
from forestall.keeping.models import Hold
from forestall.keeping.reach import NOT_OF_A_CLIENT, rows_of, tables
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.mail.blobs import Blobs
from forestall.mail.models import Attachment, Message
from forestall.telemetry.forgetting import count_rows
from forestall.telemetry.write import insert_samples
from tenancy_world import make_world

MARK = "Hollyhock Veterinary"
NOW = timedelta(0)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with start_store(tmp_path_factory.mktemp("store")) as process:
        yield process


# Rows that many clients share: what stands in them is the provider's.
PROVIDERS = frozenset(NOT_OF_A_CLIENT) - {"estate.Client", "estate.Person"}


def value_of(field: Any, rows: dict[type[models.Model], models.Model]) -> Any:
    """Something that a field can hold; a foreign key points to this client's row."""
    if field.is_relation:
        related: Any = field.related_model
        return rows.get(related) or make_row(related, rows)
    providers = field.model._meta.label in PROVIDERS
    number, mark = next(_numbers), "The provider" if providers else str(rows[Client])
    if field.choices:
        return field.choices[0][0]
    match field:
        case models.EmailField():
            return f"{number}@{mark.replace(' ', '-').lower()}.example"
        case models.CharField() | models.TextField():
            return f"{number} {mark}"[: getattr(field, "max_length", None) or 99]
        case models.BooleanField():
            return True
        case models.DateTimeField():
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        case models.DateField():
            return date(2026, 1, 1) + timedelta(days=number % 365)
        case models.JSONField():
            return [f"{mark} {number}"]
        case models.BinaryField():
            return f"{mark} {number}".encode()
        case models.FloatField() | models.IntegerField() | models.DecimalField():
            return number % 30_000
        case _:
            raise AssertionError(f"{field}: say here what such a field can hold")


def is_given(field: Any, model: type[models.Model]) -> bool:
    """Whether a row needs a value there: what may be empty stays empty, except whose it is."""
    if field.is_relation:
        return field.related_model is not model and (field.name == "client" or not field.null)
    made_by_itself = field.primary_key and (field.has_default() or isinstance(field, models.AutoField))
    return not field.null and not made_by_itself


def make_row(model: type[models.Model], rows: dict[type[models.Model], models.Model]) -> models.Model:
    """A row of any table that is the client's, with every text marked."""
    given = {
        field.name: value_of(field, rows)
        for field in model._meta.concrete_fields
        if not (
            field.is_relation and (field.related_model is model or (field.null and field.name != "client"))
        )
        and not (field.primary_key and (field.has_default() or isinstance(field, models.AutoField)))
        and not (field.null and not field.is_relation)
    }
    made = model._base_manager.create(**given)
    rows[model] = made
    return made


def everything_of(client: Client) -> dict[type[models.Model], models.Model]:
    """A row in every table that a foreign key leads to the client from."""
    person = make_person(role=Role.CLIENT_CONTACT, clients=(client,))
    person.clients.clear()  # the table between is filled like any other
    seal(client.pk, "probe/x/password", "hunter2")  # makes the client's key
    key = ClientKey.objects.get(client=client)
    rows: dict[type[models.Model], models.Model] = {Client: client, Person: person, ClientKey: key}
    for model, _ in reversed(tables()):
        if model not in rows:
            make_row(model, rows)
    return rows


@pytest.mark.django_db
def test_every_table_is_a_clients_or_says_why_not() -> None:
    reached = {model._meta.label for model, _ in tables()}
    for model in apps.get_models(include_auto_created=True):
        label = model._meta.label
        assert (label in reached) != (label in NOT_OF_A_CLIENT), (
            f"{label}: either a foreign key leads to estate.Client, or keeping.reach.NOT_OF_A_CLIENT says who"
            " sees to what it holds of a client"
        )


@pytest.mark.django_db(transaction=True)
def test_nothing_names_a_deleted_client(running: StoreProcess) -> None:
    data = settings.DATA
    data.create()
    client, other = make_client(MARK), make_client()
    rows, kept = everything_of(client), everything_of(other)
    mail, now = rows[Person].email, timezone.now()
    append("ticket.note", actor=mail, client="", body={"who": mail}, at=now)
    append("estate.client_changed", actor="ana", client=client.pk, body={"name": MARK}, at=now)
    for owner in (client, other):
        number = to_number(owner.pk)
        write_logs(running.store, log_columns([MARK] * 50, client=number), token=f"{owner.pk}/logs")
        insert_samples(running.store, sample_columns([1.0] * 50, client=number), token=f"{owner.pk}/samples")
    root, size = journal.root(), journal.size()
    release_hold(EVERYTHING, rows[Hold].pk, now=now)
    deletion = order_deletion(EVERYTHING, client.pk, confirm=MARK, now=now)
    seq = carry_out(deletion, data, running.store, now=timezone.now, settle=NOW)

    for model, ways in tables():
        assert not rows_of(model, ways, client.pk).exists(), model
        assert model._base_manager.filter(pk=kept[model].pk).exists(), f"another client's {model} went too"
    assert not Client.objects.filter(pk=client.pk).exists()
    assert not Person.objects.filter(pk=rows[Person].pk).exists()
    assert not any(count_rows(running.store, to_number(client.pk)).values())
    assert all(count_rows(running.store, to_number(other.pk))[table] == 50 for table in ("logs", "samples"))
    assert journal.root(size) == root, "the journal's root is another"
    entries = Entry.objects.order_by("seq")
    assert root_of(entries.values_list("seq", "body", "leaf_hash")) == (journal.size(), journal.root())
    for entry in entries:
        assert MARK.encode() not in bytes(entry.body) and rows[Person].email not in entry.actor
    for needle in (MARK, client.pk, rows[Person].email):
        named = [label for label, text in texts() if needle in text]
        assert set(named) <= {"journal.Entry", "keeping.Deletion"}, f"{needle} is still in {named}"

    document = certificate(EVERYTHING, client.pk, archives=None, now=timezone.now())
    said = check(json.loads(json.dumps(document)))
    assert said["client"] == client.pk and document["seq"] == seq
    assert said["telemetry"]["before"]["logs"] == 50 and not any(said["telemetry"]["after"].values())
    assert all(after == 0 for _, after in said["tables"].values())
    assert {model._meta.label for model, _ in tables()} <= {*said["tables"]}
    assert said["journal"]["erased"] >= 2 and MARK not in json.dumps(document)
    document["entry"] = document["entry"].replace("ana", "eve").replace("test", "tset")
    with pytest.raises(ValueError, match="altered"):
        check(document)


def texts() -> Iterator[tuple[str, str]]:
    """Every row of every table, as text."""
    for model in apps.get_models(include_auto_created=True):
        for row in model._base_manager.values_list():
            yield model._meta.label, repr(row)


@pytest.mark.django_db(transaction=True)
def test_a_real_client_goes_and_its_evidence_too(running: StoreProcess) -> None:
    settings.DATA.create()
    world = make_world(timezone.now())
    client = Client.objects.get(pk=world.foreign["client"])
    evidence = Evidence.objects.get(pk=world.foreign["evidence"])
    load_bundle(EVERYTHING, evidence.pk)
    file = settings.DATA.evidence / f"{evidence.sha256}.json.zst"
    assert file.exists()
    release_hold(EVERYTHING, world.foreign["hold"], now=timezone.now())
    deletion = order_deletion(EVERYTHING, client.pk, confirm=client.name, now=timezone.now())
    carry_out(deletion, settings.DATA, running.store, now=timezone.now, settle=NOW)
    assert not file.exists() and not Client.objects.filter(pk=client.pk).exists()
    assert carry_out(deletion, settings.DATA, running.store, now=timezone.now) == deletion.proof_seq


@pytest.mark.django_db(transaction=True)
def test_its_mails_go_but_not_what_another_has_too(running: StoreProcess) -> None:
    settings.DATA.create()
    blobs, now = Blobs(settings.DATA.mail / "blobs"), timezone.now()
    client, other = make_client(), make_client()
    digests = {
        text: blobs.keep(text.encode()) for text in ("theirs", "an attachment", "of both", "another's")
    }
    for number, (owner, text) in enumerate(
        [(client, "theirs"), (client, "of both"), (other, "of both"), (None, "another's")]
    ):
        message = Message.objects.create(
            client=owner, key=f"in:{number}", digest=digests[text], at=now, recipients=[], state="taken"
        )
        if text == "theirs":
            Attachment.objects.create(message=message, name="a.pdf", size=1, digest=digests["an attachment"])
    deletion = order_deletion(EVERYTHING, client.pk, confirm=client.name, now=now)
    carry_out(deletion, settings.DATA, running.store, now=timezone.now, settle=NOW)
    assert {text for text, digest in digests.items() if blobs.path(digest).exists()} == {
        "of both",
        "another's",
    }


@pytest.mark.django_db
def test_who_is_not_deleted() -> None:
    client = make_client()
    now = timezone.now()
    with pytest.raises(Trouble, match="Type it exactly"):
        order_deletion(EVERYTHING, client.pk, confirm="another", now=now)
    row = hold(EVERYTHING, client=client.pk, reason="case 12", now=now)
    with pytest.raises(Trouble, match="is held: case 12"):
        order_deletion(EVERYTHING, client.pk, confirm=client.name, now=now)
    release_hold(EVERYTHING, row.pk, now=now)
    order_deletion(EVERYTHING, client.pk, confirm=client.name, now=now)
    own = make_client()
    make_asset(own, kind="forestall")
    with pytest.raises(Trouble, match="watches itself"):
        order_deletion(EVERYTHING, own.pk, confirm=own.name, now=now)


def test_the_certificate_is_asked_for_by_name(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from forestall.processes.cli import main; main()", "client", "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "delete" in said and "deletion-proof" in said
