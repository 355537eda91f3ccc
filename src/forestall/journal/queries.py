"""Reads of the journal. An entry's client decides who may see it: callers hand the clients in."""

from collections.abc import Collection

from forestall.journal import merkle
from forestall.journal.models import Checkpoint, Entry, Head, Node

MOST_ENTRIES = 1000


def fetch_hash(level: int, index: int) -> bytes:
    """The hash of a complete subtree, from the tables (merkle.Fetch)."""
    if level == 0:
        return bytes(Entry.objects.values_list("leaf_hash", flat=True).get(seq=index))
    return bytes(Node.objects.values_list("hash", flat=True).get(level=level, index=index))


def size() -> int:
    """How many entries the log has."""
    return Head.objects.filter(id=1).values_list("size", flat=True).first() or 0


def root(at_size: int | None = None) -> bytes:
    """The root over the first `at_size` entries (all of them by default)."""
    return merkle.root_hash(size() if at_size is None else at_size, fetch_hash)


def read_after(seq: int, *, most: int = 200, clients: Collection[str] | None = None) -> list[Entry]:
    """Entries with a number greater than `seq`, oldest first; `clients` None is for the installation and
    for staff who see every client, else only entries of these clients."""
    entries = Entry.objects.filter(seq__gt=seq).order_by("seq")
    if clients is not None:
        entries = entries.filter(client__in=clients)
    return list(entries[: min(most, MOST_ENTRIES)])


def last_entries(*, most: int = 50, clients: Collection[str] | None = None, subject: str = "") -> list[Entry]:
    """The newest entries, newest first; of one subject if given. `clients` as in read_after."""
    entries = Entry.objects.order_by("-seq")
    if clients is not None:
        entries = entries.filter(client__in=clients)
    if subject:
        entries = entries.filter(subject=subject)
    return list(entries[: min(most, MOST_ENTRIES)])


def inclusion(seq: int, at_size: int) -> list[bytes]:
    """The audit path of an entry in the tree of `at_size` entries."""
    return merkle.inclusion_proof(seq, at_size, fetch_hash)


def consistency(old: int, new: int) -> list[bytes]:
    """The proof that the log of `new` entries begins with the log of `old`."""
    return merkle.consistency_proof(old, new, fetch_hash)


def last_checkpoint(least: int = 0) -> Checkpoint | None:
    """The newest signed checkpoint that covers at least `least` entries."""
    return Checkpoint.objects.filter(size__gte=least).order_by("-size").first()


def entries_of(kinds: Collection[str], *, clients: Collection[str], most: int = 200_000) -> list[Entry]:
    """The entries of these kinds about these clients, oldest first."""
    return list(Entry.objects.filter(kind__in=kinds, client__in=clients).order_by("seq")[:most])
