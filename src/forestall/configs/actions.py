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
# With the version before it as dictionary a text takes a hundredth of its own or less: a package list of
# 759 kB with one changed line 136 bytes instead of 156 kB, a sshd_config 33 instead of 1,494. Every so many
# versions one stands for itself, so that reading never follows more bases than this.
BASES_MOST = 20


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
        key = _keep(client, snapshot.text, after=newest)
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


def _keep(client: str, text: str, *, after: Version | None) -> str:
    """Store a text once per client, with the version before it as dictionary where that pays; its key."""
    data = text.encode()
    key = f"{client}:{hashlib.sha256(data).hexdigest()}"
    if Content.objects.filter(pk=key).exists():
        return key
    plain = _compressor(data).compress(data)
    base = after.content if after is not None and after.content.depth < BASES_MOST else None
    if base is not None:
        short = _compressor(data, _read(base)).compress(data)
        if len(short) < len(plain) // 2:
            Content.objects.create(
                key=key, size_bytes=len(data), compressed=short, base=base, depth=base.depth + 1
            )
            return key
    Content.objects.create(key=key, size_bytes=len(data), compressed=plain)
    return key


def _compressor(data: bytes, base: bytes = b"") -> zstandard.ZstdCompressor:
    settings = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(data), dict_size=len(base)
    )
    return zstandard.ZstdCompressor(compression_params=settings, dict_data=_dictionary(base))


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None


def _read(content: Content) -> bytes:
    """The plain text; follows the bases, at most BASES_MOST."""
    base = _read(content.base) if content.base is not None else b""
    decompressor = zstandard.ZstdDecompressor(dict_data=_dictionary(base))
    data: bytes = decompressor.decompress(bytes(content.compressed), max_output_size=content.size_bytes)
    return data


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
    return _read(version.content).decode()
