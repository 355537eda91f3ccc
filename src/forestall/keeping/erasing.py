"""What the journal says of a client is erased, and the journal stays whole.

An entry's leaf is the hash of its body; roots, proofs and checkpoints are made of leaves. So a body can go
and its leaf stays: nobody can add, move or alter an entry unseen, and nobody reads what it said. An entry
without a body is explained by the entry `client.deleted` that names it; one that is not was tampered with.
See docs/decisions/0009-deletion.md.
"""

import hashlib
from collections.abc import Collection, Iterator

from django.db.models import Q

from forestall.journal.models import Entry

STEP = 2000
KEPT = ("client.deletion_ordered", "client.deleted")
ERASED = "erased"


def erase(client: str, needles: Collection[str], people: Collection[str]) -> list[int]:
    """Erase every entry that is the client's, or whose body names one of `needles` (identifiers, addresses
    of mail); entries of `people` (actors) lose their actor too. The numbers of all that were erased."""
    marks = [needle.encode() for needle in needles if needle]
    gone = []
    for entry in _entries():
        body = bytes(entry.body)
        if entry.kind in KEPT or not body:
            continue
        if entry.client == client or entry.actor in people or any(mark in body for mark in marks):
            gone.append(entry.seq)
    for at in range(0, len(gone), STEP):
        chosen = Entry.objects.filter(seq__in=gone[at : at + STEP])
        chosen.filter(actor__in=people).update(actor=ERASED)
        chosen.update(body=b"")
    return gone


def erased_of(client: str) -> list[int]:
    """The client's entries that have no body (any more)."""
    rows = Entry.objects.filter(Q(client=client), body=b"")
    return list(rows.order_by("seq").values_list("seq", flat=True))


def digest_of(numbers: Collection[int]) -> str:
    """SHA-256 of the numbers in decimal, ascending, separated by commas."""
    return hashlib.sha256(",".join(map(str, sorted(numbers))).encode()).hexdigest()


def spans_of(numbers: Collection[int]) -> list[list[int]]:
    """The numbers as [first, last] of each run without a gap."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return spans


def _entries() -> Iterator[Entry]:
    after = -1
    while page := list(Entry.objects.filter(seq__gt=after).order_by("seq")[:STEP]):
        yield from page
        after = page[-1].seq
