"""Writes of configurations: a snapshot with another text becomes a version, the difference a change; a
version becomes the baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from forestall.configs.differences import Described, describe
from forestall.configs.models import Change, Configuration, Content, Refusal, Version
from forestall.configs.notices import name_who
from forestall.configs.packing import RUN, WORTH_SHARE, base_place, digest_of, pack
from forestall.configs.texts import Link, chains_of, text_of
from forestall.estate.tenancy import Scope
from forestall.journal.actions import Record, append, append_all
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot

BECAUSE_MAX_CHARS = 300
CONFIRMED_AT_ONCE = 200
STORED_AT_ONCE = 200
STORED_AT_ONCE_BYTES = 16 << 20

__all__ = ["Stored", "drop_baseline", "name_baseline", "store_snapshot", "store_snapshots", "text_of"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a snapshot: the version that holds its text, and the change if there was one."""

    version: Version | None
    change: Change | None = None
    refusal: Refusal | None = None


Place = tuple[str, str, str]  # client, asset, kind


@dataclass(frozen=True, slots=True)
class Fresh:
    """A capture beside the newest version of its place, if there is one; `number`: its place in the batch."""

    number: int
    place: Place
    snapshot: Snapshot
    data: bytes
    at: datetime
    newest: Version | None
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.data))

    @property
    def is_known(self) -> bool:
        """The same text, or an older capture than the newest one."""
        newest = self.newest
        return newest is not None and (
            bytes(newest.content.digest) == self.digest or self.at <= newest.seen_at
        )


def store_snapshots(taken: Sequence[tuple[str, str, Snapshot]], *, now: datetime) -> list[Stored]:
    """Keep captures (client, asset, snapshot) in one transaction: all of them, or none to be tried again.

    The same again changes nothing; one that was refused or cut is never a version. An older capture than the
    newest version (it came late) confirms or is left; it never rewrites history.
    """
    stored: dict[int, Stored] = {}
    with transaction.atomic():
        held = _held({(client, asset, snapshot.kind) for client, asset, snapshot in taken})
        assets = {asset for _, asset, _ in taken}
        refused = set(Refusal.objects.filter(asset__in=assets).values_list("client", "asset", "kind"))
        confirmed: dict[str, Version] = {}
        left = list(enumerate(taken))
        while left:  # each turn has one capture of a place, for the next one is compared with it
            turn: dict[Place, int] = {}
            later, fresh = [], []
            for number, (client, asset, snapshot) in left:
                at, place = min(from_ms(snapshot.at_ms), now), (client, asset, snapshot.kind)
                if turn.setdefault(place, number) != number:
                    later.append((number, taken[number]))
                elif snapshot.problem:
                    stored[number] = _refuse(place, snapshot.problem, at)
                    refused.add(place)
                else:
                    if place in refused:
                        Refusal.objects.filter(asset=asset, kind=snapshot.kind, at__lte=at).delete()
                    known = held[place].newest if place in held else None
                    new = Fresh(number, place, snapshot, snapshot.text.encode(), at, known)
                    if known is None or not new.is_known:
                        fresh.append(new)
                        continue
                    stored[number] = Stored(known)
                    if known.seen_at < at:
                        known.seen_at = at
                        confirmed[known.pk] = known
            for part in _parts(fresh):
                stored |= _store(held, part, now=now)
            left = later
        Version.objects.bulk_update(confirmed.values(), ["seen_at"], batch_size=CONFIRMED_AT_ONCE)
    return [stored[number] for number in range(len(taken))]


def store_snapshot(client: str, asset: str, snapshot: Snapshot, *, now: datetime) -> Stored:
    """Keep one capture."""
    return store_snapshots([(client, asset, snapshot)], now=now)[0]


def _held(places: set[Place]) -> dict[Place, Configuration]:
    """The configurations of these places, with their newest versions, locked. Their texts are not read."""
    rows = (
        Configuration.objects.select_for_update(of=("self",))
        .select_related("newest__content")
        .defer("newest__content__compressed", "judged")
        .filter(asset__in={asset for _, asset, _ in places}, kind__in={kind for _, _, kind in places})
        .order_by("pk")
    )
    found = {(row.client_id, row.asset_id, row.kind): row for row in rows}
    return {place: row for place, row in found.items() if place in places}


def _refuse(place: Place, problem: str, at: datetime) -> Stored:
    client, asset, kind = place
    refusal, _ = Refusal.objects.update_or_create(
        client_id=client, asset_id=asset, kind=kind, defaults={"problem": problem, "at": at}
    )
    return Stored(None, refusal=refusal)


def _parts(fresh: Sequence[Fresh]) -> Iterator[list[Fresh]]:
    """As many at a time as their texts and those before them may be held."""
    part: list[Fresh] = []
    held = 0
    for one in fresh:
        size = max(len(one.data), one.newest.content.size_bytes if one.newest else 0)
        if part and (len(part) >= STORED_AT_ONCE or held + size > STORED_AT_ONCE_BYTES):
            yield part
            part, held = [], 0
        part.append(one)
        held += size
    if part:
        yield part


def _store(held: dict[Place, Configuration], fresh: Sequence[Fresh], *, now: datetime) -> dict[int, Stored]:
    """A version for each new text, each of another place; a change where there was one before."""
    chains = chains_of([one.newest.content for one in fresh if one.newest is not None])
    contents = _keep(fresh, chains)
    stored: dict[int, Stored] = {}
    changes: list[Change] = []
    rows = []
    for one, content in zip(fresh, contents, strict=True):
        client, asset, kind = one.place
        version = Version(
            client_id=client,
            asset_id=asset,
            kind=kind,
            title=one.snapshot.title or kind,
            number=one.newest.number + 1 if one.newest else 1,
            content=content,
            captured_at=one.at,
            seen_at=one.at,
        )
        row = Configuration(
            client_id=client, asset_id=asset, kind=kind, title=version.title, newest=version, touched_at=now
        )
        rows.append(row)
        known = held.setdefault(one.place, row)
        known.newest, known.title, known.touched_at = version, version.title, now
        change = None
        if one.newest is not None:
            said = describe(chains[one.newest.content_id][-1].text.decode(), one.snapshot.text)
            change = _change(one.newest, version, said, signed_in=one.snapshot.signed_in)
            changes.append(change)
        stored[one.number] = Stored(version, change)
    Version.objects.bulk_create([row.newest for row in rows])
    Configuration.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["asset", "kind"],
        update_fields=["newest", "title", "touched_at"],
    )
    Change.objects.bulk_create(changes)
    name_who(changes)
    append_all([_seen(change, now) for change in changes])
    return stored


def _keep(fresh: Sequence[Fresh], chains: Mapping[int, Sequence[Link]]) -> list[Content]:
    """Store texts once per client, each packed against an older one of the same configuration where that
    pays. `chains`: the newest contents with their bases, from the first of their runs."""
    rows = Content.objects.filter(
        client__in={one.place[0] for one in fresh}, digest__in=[one.digest for one in fresh]
    )
    known = {(row.client_id, bytes(row.digest)): row for row in rows.defer("compressed")}
    new: list[Content] = []
    found: list[Content] = []
    for one in fresh:
        key = (one.place[0], one.digest)
        if key not in known:
            known[key] = _pack(one, chains[one.newest.content_id] if one.newest else ())
            new.append(known[key])
        found.append(known[key])
    Content.objects.bulk_create(new)
    return found


def _pack(one: Fresh, chain: Sequence[Link]) -> Content:
    new = Content(client_id=one.place[0], digest=one.digest, size_bytes=len(one.data))
    if one.data and chain and chain[-1].place + 1 < RUN:
        place = chain[-1].place + 1
        base = next(link for link in chain if link.place == base_place(place))
        packed = pack(one.data, base.text)
        if base.text and len(packed) * WORTH_SHARE < chain[0].packed_bytes:
            new.compressed, new.base_id, new.place = packed, base.key, place
    if new.base_id is None:
        new.compressed = pack(one.data)
    return new


def _change(before: Version, after: Version, said: Described, *, signed_in: Sequence[str]) -> Change:
    return Change(
        client_id=after.client_id,
        asset_id=after.asset_id,
        kind=after.kind,
        title=after.title,
        before=before,
        after=after,
        after_at=before.seen_at,
        at=after.captured_at,
        signed_in=list(signed_in),
        added=said.added,
        removed=said.removed,
        summary=said.summary[:300],
    )


def _seen(change: Change, now: datetime) -> Record:
    return Record(
        "change.seen",
        client=change.client_id,
        subject=change.asset_id,
        actor="forestall:configs",
        body={
            "change": change.pk,
            "kind": change.kind,
            "summary": change.summary,
            "signed_in": change.signed_in,
            "named": change.named,
        },
        at=now,
    )


def name_baseline(scope: Scope, version: str, *, because: str, now: datetime) -> Configuration:
    """From now on a difference from this version is a finding. A version of the same configuration that was
    the baseline is it no longer.

    Raises Version.DoesNotExist for what the scope does not see, Trouble without a reason.
    """
    if not because.strip():
        raise Trouble("a baseline needs a reason", "Write why it should be like this version; it is kept.")
    with transaction.atomic():
        row = Version.objects.of(scope).select_related("content").get(pk=version)
        held = Configuration.objects.select_for_update(of=("self",)).get(asset=row.asset_id, kind=row.kind)
        was = held.baseline_id
        held.baseline, held.baseline_by, held.baseline_at = row, scope.actor, now
        held.baseline_because, held.touched_at = because.strip()[:BECAUSE_MAX_CHARS], now
        held.save()
        _journal_baseline("baseline.named", held, scope, now, {
            "version": row.pk,
            "number": row.number,
            "sha256": bytes(row.content.digest).hex(),
            "because": held.baseline_because,
            "before": was,
        })  # fmt: skip
    return held


def drop_baseline(scope: Scope, version: str, *, now: datetime) -> Configuration:
    """The configuration of this version has no baseline any more. Raises Version.DoesNotExist for what the
    scope does not see, Trouble when there is none."""
    with transaction.atomic():
        row = Version.objects.of(scope).get(pk=version)
        held = Configuration.objects.select_for_update(of=("self",)).get(asset=row.asset_id, kind=row.kind)
        if held.baseline_id is None:
            raise Trouble(f"{row.title} has no baseline", "Look again: somebody else took it away.")
        was = held.baseline_id
        held.baseline, held.baseline_by, held.baseline_at = None, "", None
        held.baseline_because, held.touched_at = "", now
        held.save()
        _journal_baseline("baseline.dropped", held, scope, now, {"before": was})
    return held


def _journal_baseline(
    kind: str, held: Configuration, scope: Scope, now: datetime, body: dict[str, Any]
) -> None:
    append(
        kind,
        client=held.client_id,
        subject=held.asset_id,
        actor=scope.actor,
        at=now,
        body={"kind": held.kind, **body},
    )
