"""The journal in the database: numbers without gaps, proofs from the tables, rollback leaves nothing."""

from datetime import UTC, datetime

import pytest
from django.db import transaction

from forestall.journal import actions, merkle, queries
from forestall.journal.models import Entry
from forestall.journal.seal import open_checkpoint

AT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def write(count: int) -> None:
    for number in range(count):
        actions.append("test.entry", actor="ana", body={"number": number}, at=AT, client="C" * 13)


def test_every_entry_is_proved_by_the_tables() -> None:
    write(21)
    root = queries.root()
    for entry in Entry.objects.order_by("seq"):
        path = queries.inclusion(entry.seq, 21)
        leaf = merkle.leaf_hash(bytes(entry.body))
        assert merkle.root_from_inclusion(entry.seq, 21, leaf, path) == root


def test_a_rolled_back_action_leaves_no_gap() -> None:
    write(2)
    with pytest.raises(RuntimeError), transaction.atomic():
        write(1)
        raise RuntimeError("the action failed")
    write(1)
    assert list(Entry.objects.order_by("seq").values_list("seq", flat=True)) == [0, 1, 2]


def test_checkpoint_states_the_root_and_is_not_repeated() -> None:
    assert actions.sign_checkpoint(at=AT) is None
    write(5)
    checkpoint = actions.sign_checkpoint(at=AT)
    assert checkpoint is not None
    stated = open_checkpoint(checkpoint.note, actions.installation_signer().public_key)
    assert (stated.size, stated.root) == (5, queries.root())
    assert actions.sign_checkpoint(at=AT) is None


def test_entries_of_other_clients_are_not_read() -> None:
    write(1)
    assert queries.read_after(-1, clients=["D" * 13]) == []
    assert len(queries.read_after(-1, clients=["C" * 13])) == 1
