"""Writes of configurations: a snapshot with another text becomes a version, the difference a change."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import zstandard
from django.db import transaction

from forestall.configs.differences import count_lines, summarise
from forestall.configs.models import Change, Content, Refusal, Version
from forestall.journal.actions import append
from forestall.kernel.clock import from_ms
from forestall.kernel.observations import Snapshot

LEVEL = 9


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a snapshot: the version that holds its text, and the change if there was one."""

    version: Version | None
    change: Change | None = None
    refusal: Refusal | None = None


def store_snapshot(client: str, asset: str, snapshot: Snapshot, *, now: datetime) -> Stored:
    """Keep a capture. The same again changes nothing; one that was refused or cut is never a version.

    An older capture than the newest version (it came late) confirms or is left; it never rewrites history.
    """
    at = min(from_ms(snapshot.at_ms), now)
    with transaction.atomic():
        if snapshot.problem:
            refusal, _ = Refusal.objects.update_or_create(
                client_id=client,
                asset_id=asset,
                kind=snapshot.kind,
                defaults={"problem": snapshot.problem, "at": at},
            )
            return Stored(None, refusal=refusal)
        Refusal.objects.filter(asset=asset, kind=snapshot.kind, at__lte=at).delete()
        newest = (
            Version.objects.select_for_update(of=("self",))
            .filter(client=client, asset=asset, kind=snapshot.kind)
            .order_by("-number")
            .first()
        )
        key = _keep(client, snapshot.text)
        if newest is not None and newest.content_id == key:
            if at > newest.seen_at:
                Version.objects.filter(pk=newest.pk).update(seen_at=at)
            return Stored(newest)
        if newest is not None and at <= newest.seen_at:
            return Stored(newest)
        version = Version.objects.create(
            client_id=client,
            asset_id=asset,
            kind=snapshot.kind,
            title=snapshot.title or snapshot.kind,
            number=newest.number + 1 if newest else 1,
            content_id=key,
            captured_at=at,
            seen_at=at,
        )
        change = _change(newest, version, snapshot.signed_in, now) if newest else None
    return Stored(version, change)


def _keep(client: str, text: str) -> str:
    """Store a text once per client; its key."""
    data = text.encode()
    key = f"{client}:{hashlib.sha256(data).hexdigest()}"
    if not Content.objects.filter(pk=key).exists():
        compressed = zstandard.ZstdCompressor(level=LEVEL).compress(data)
        Content.objects.create(key=key, size_bytes=len(data), compressed=compressed)
    return key


def _change(before: Version, after: Version, signed_in: Sequence[str], now: datetime) -> Change:
    old, new = text_of(before), text_of(after)
    added, removed = count_lines(old, new)
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
        added=added,
        removed=removed,
        summary=summarise(old, new)[:300],
    )
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
        },
        at=now,
    )
    return change


def text_of(version: Version) -> str:
    """The text of a version."""
    data: bytes = zstandard.ZstdDecompressor().decompress(bytes(version.content.compressed))
    return data.decode()
