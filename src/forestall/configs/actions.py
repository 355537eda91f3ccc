"""Writes of configurations: a snapshot with another text becomes a version, the difference a change; a
version becomes the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from forestall.configs.differences import Described, describe
from forestall.configs.models import Change, Configuration, Content, Refusal, Version
from forestall.configs.notices import name_who
from forestall.configs.packing import RUN, WORTH_SHARE, base_place, digest_of, pack
from forestall.configs.texts import Link, chain_of, text_of
from forestall.estate.tenancy import Scope
from forestall.journal.actions import append
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot

BECAUSE_MAX_CHARS = 300
CONFIRMED_AT_ONCE = 200

__all__ = ["Stored", "drop_baseline", "name_baseline", "store_snapshot", "store_snapshots", "text_of"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a snapshot: the version that holds its text, and the change if there was one."""

    version: Version | None
    change: Change | None = None
    refusal: Refusal | None = None


Place = tuple[str, str, str]  # client, asset, kind


def store_snapshots(taken: Sequence[tuple[str, str, Snapshot]], *, now: datetime) -> list[Stored]:
    """Keep captures (client, asset, snapshot) in one transaction: all of them, or none to be tried again.

    The same again changes nothing; one that was refused or cut is never a version. An older capture than the
    newest version (it came late) confirms or is left; it never rewrites history.
    """
    stored = []
    with transaction.atomic():
        held = _held({(client, asset, snapshot.kind) for client, asset, snapshot in taken})
        assets = {asset for _, asset, _ in taken}
        refused = set(Refusal.objects.filter(asset__in=assets).values_list("client", "asset", "kind"))
        confirmed: dict[str, Version] = {}
        for client, asset, snapshot in taken:
            at, place = min(from_ms(snapshot.at_ms), now), (client, asset, snapshot.kind)
            if snapshot.problem:
                stored.append(_refuse(place, snapshot.problem, at))
                refused.add(place)
                continue
            if place in refused:
                Refusal.objects.filter(asset=asset, kind=snapshot.kind, at__lte=at).delete()
            one = _store(held, place, snapshot, at=at, now=now)
            if one.version is not None and one.version.seen_at < at:
                one.version.seen_at = at
                confirmed[one.version.pk] = one.version
            stored.append(one)
        Version.objects.bulk_update(confirmed.values(), ["seen_at"], batch_size=CONFIRMED_AT_ONCE)
    return stored


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


def _store(
    held: dict[Place, Configuration], place: Place, snapshot: Snapshot, *, at: datetime, now: datetime
) -> Stored:
    """A version when the text is another one; the newest version, as it is known so far, when it is not."""
    client, asset, kind = place
    known = held.get(place)
    newest = known.newest if known is not None else None
    data = snapshot.text.encode()
    digest = digest_of(data)
    if newest is not None and bytes(newest.content.digest) == digest:
        return Stored(newest)
    if newest is not None and at <= newest.seen_at:
        return Stored(newest)
    chain = chain_of(newest.content) if newest is not None else []
    version = Version.objects.create(
        client_id=client,
        asset_id=asset,
        kind=kind,
        title=snapshot.title or kind,
        number=newest.number + 1 if newest else 1,
        content=_keep(client, data, digest, newest=newest.content if newest else None, chain=chain),
        captured_at=at,
        seen_at=at,
    )
    held[place] = _point_at(known, version, now)
    if newest is None:
        return Stored(version)
    said = describe(chain[-1].text.decode(), snapshot.text)
    return Stored(version, _change(newest, version, said, signed_in=snapshot.signed_in, now=now))


def _point_at(held: Configuration | None, version: Version, now: datetime) -> Configuration:
    if held is None:
        return Configuration.objects.create(
            client_id=version.client_id,
            asset_id=version.asset_id,
            kind=version.kind,
            title=version.title,
            newest=version,
            touched_at=now,
        )
    held.newest, held.title, held.touched_at = version, version.title, now
    Configuration.objects.filter(pk=held.pk).update(newest=version, title=version.title, touched_at=now)
    return held


def _keep(
    client: str, data: bytes, digest: bytes, *, newest: Content | None, chain: Sequence[Link]
) -> Content:
    """Store a text once per client, packed against an older one of the same configuration where that pays.

    `chain`: the newest content with its bases, from the first of its run.
    """
    known = Content.objects.filter(client=client, digest=digest).first()
    if known is not None:
        return known
    new = Content(client_id=client, digest=digest, size_bytes=len(data))
    if data and newest is not None and newest.place + 1 < RUN:
        place = newest.place + 1
        base = next(link for link in chain if link.place == base_place(place))
        packed = pack(data, base.text)
        if base.text and len(packed) * WORTH_SHARE < chain[0].packed_bytes:
            new.compressed, new.base_id, new.place = packed, base.key, place
    if new.base_id is None:
        new.compressed = pack(data)
    new.save(force_insert=True)
    return new


def _change(
    before: Version, after: Version, said: Described, *, signed_in: Sequence[str], now: datetime
) -> Change:
    change = Change.objects.create(
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
    name_who(change)
    append(
        "change.seen",
        client=after.client_id,
        subject=after.asset_id,
        actor="forestall:configs",
        body={
            "change": change.pk,
            "kind": after.kind,
            "summary": change.summary,
            "signed_in": change.signed_in,
            "named": change.named,
        },
        at=now,
    )
    return change


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
