"""Credentials of a client's devices: made, replaced, handed to the collectors of that client alone.

The fields are sealed as one text by the vault, bound to the client and the row, and are never shown again.
Every change stands in the journal, and so does the first time that a collector was handed one.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Max, Q, Sum
from django.utils import timezone

from forestall.estate.actions import client_of, made, note_change, site_of
from forestall.estate.checks import clean_name
from forestall.estate.models import Asset, Collector, Credential, CredentialUse, Probe
from forestall.estate.tenancy import Scope, system_scope
from forestall.estate.vault import open_sealed, seal
from forestall.kernel.credentials import KINDS
from forestall.kernel.errors import Trouble

PAGE_MAX = 500
PER_CLIENT_MAX = 500
PROBES_NAMED = 3

Uses = Mapping[tuple[str, str], int]  # (probe, collector or "" for the server) → how often


@dataclass(frozen=True, slots=True)
class Use:
    """Who signs in with a credential: `name` is the collector's machine."""

    name: str
    first_at: datetime
    last_at: datetime | None
    count: int


def add_credential(
    scope: Scope, *, client: str, name: str, kind: str, fields: Mapping[str, object], site: str = ""
) -> Credential:
    """A new credential. Raises Trouble; no value of a field is ever part of its text."""
    owner = client_of(scope, client)
    place = site_of(scope, owner, site)
    given = _read(kind, fields)
    if Credential.objects.filter(client=owner).count() >= PER_CLIENT_MAX:
        raise Trouble(f"a client has at most {PER_CLIENT_MAX} credentials", "Delete those that are not used.")
    now = timezone.now()
    row = Credential(
        client=owner, site=place, name=clean_name(name), kind=kind, user=given.get("user", ""),
        made_at=now, changed_at=now,
    )  # fmt: skip
    row.sealed = _seal(row, given)
    with transaction.atomic():
        made(lambda: row.save(force_insert=True), "credential", name)
        body = {"name": row.name, "kind": kind, "site": site, "fields": sorted(given)}
        note_change(scope, "credential_created", owner.pk, row.pk, body)
    return row


def change_credential(
    scope: Scope,
    row: Credential,
    *,
    name: str | None = None,
    site: str | None = None,
    fields: Mapping[str, object] | None = None,
) -> Credential:
    """Another name, another site ("": all), or other fields, which replace all that it had. What is None
    stays. Raises Trouble."""
    changed: list[str] = []
    if name is not None and clean_name(name) != row.name:
        row.name = clean_name(name)
        changed.append("name")
    if site is not None and site != (row.site_id or ""):
        row.site = site_of(scope, row.client, site)
        changed.append("site")
    if fields is not None:
        given = _read(row.kind, fields)
        row.sealed, row.user, row.changed_at = _seal(row, given), given.get("user", ""), timezone.now()
        changed += ["sealed", "user", "changed_at"]
    if changed:
        with transaction.atomic():
            made(lambda: row.save(update_fields=changed), "credential", row.name)
            body = {"name": row.name, "site": row.site_id or "", "replaced": fields is not None}
            note_change(scope, "credential_changed", row.client_id, row.pk, body)
    return row


def remove_credential(scope: Scope, row: Credential) -> None:
    """It is gone. Raises Trouble while probes sign in with it."""
    with transaction.atomic():
        used = list(
            Probe.objects.of(scope).filter(credential=row).select_related("asset")[: PROBES_NAMED + 1]
        )
        if used:
            names = ", ".join(f"{probe.kind} of {probe.asset.name}" for probe in used[:PROBES_NAMED])
            more = " and others" if len(used) > PROBES_NAMED else ""
            raise Trouble(f"{row.name} is used by {names}{more}", "Give these another credential first.")
        note_change(scope, "credential_removed", row.client_id, row.pk, {"name": row.name})
        Credential.objects.of(scope).filter(pk=row.pk).delete()


def find_credential(scope: Scope, identifier: str) -> Credential | None:
    """A credential that the scope sees, or None. Its fields stay sealed."""
    return Credential.objects.of(scope).filter(pk=identifier).select_related("client", "site").first()


def list_credentials(
    scope: Scope, *, client: str = "", after: tuple[str, str] | None = None, limit: int = PAGE_MAX
) -> list[Credential]:
    """Credentials by name, with how many probes have each (`probe_count`), how often it was used
    (`use_count`), and when last (`used_at`)."""
    rows = Credential.objects.of(scope).select_related("client", "site")
    if client:
        rows = rows.filter(client=client)
    if after:
        rows = rows.filter(Q(name__gt=after[0]) | Q(name=after[0], pk__gt=after[1]))
    found = list(rows.order_by("name", "pk")[: min(limit, PAGE_MAX)])
    probes = dict(
        Probe.objects.of(scope).filter(credential__in=found).order_by().values_list("credential")
        .annotate(count=Count("pk"))
    )  # fmt: skip
    counted = CredentialUse.objects.filter(credential__in=found).values("credential")
    uses: dict[str, Any] = {
        row["credential"]: row for row in counted.annotate(count=Sum("count"), last=Max("last_at"))
    }
    for one in found:
        one.probe_count = probes.get(one.pk, 0)  # type: ignore[attr-defined]
        one.use_count = uses.get(one.pk, {}).get("count", 0)  # type: ignore[attr-defined]
        one.used_at = uses.get(one.pk, {}).get("last")  # type: ignore[attr-defined]
    return found


def probes_with(scope: Scope, row: Credential) -> list[Probe]:
    """The probes that sign in with it."""
    rows = Probe.objects.of(scope).filter(credential=row).select_related("asset", "collector")
    return list(rows.order_by("asset__name", "pk")[:PAGE_MAX])


def uses_of(scope: Scope, row: Credential) -> list[Use]:
    """Who was handed it, the last one first."""
    if not scope.sees(row.client_id):
        return []
    rows = list(CredentialUse.objects.filter(credential=row).order_by("-last_at")[:PAGE_MAX])
    machines = dict(
        Collector.objects.of(scope).filter(pk__in=[one.by for one in rows]).values_list("pk", "asset__name")
    )
    return [
        Use(
            machines.get(one.by, "the server" if not one.by else one.by), one.first_at, one.last_at, one.count
        )
        for one in rows
    ]


def credential_for(
    scope: Scope, asset: Asset, identifier: str, *, kinds: Collection[str]
) -> Credential | None:
    """The credential that a probe of this asset shall have; None for "". Raises Trouble when it is another
    client's, of a kind that the probe cannot use, or for another site."""
    if not identifier:
        return None
    row = find_credential(scope, identifier)
    if row is None or row.client_id != asset.client_id:
        raise Trouble("there is no such credential", "Choose one of the same client.")
    if row.kind not in kinds:
        usable = " or ".join(KINDS[kind].title for kind in kinds if kind in KINDS)
        raise Trouble(
            f"{row.name} is a credential for {KINDS[row.kind].title}",
            f"This probe signs in with {usable}." if usable else "This probe signs in nowhere.",
        )
    if row.site_id and row.site_id != asset.site_id:
        raise Trouble(f"{row.name} is for the site {row.site} alone", f"{asset.name} is not there.")
    return row


def open_for(probes: Iterable[Probe], *, collector: str, now: datetime) -> dict[str, dict[str, str]]:
    """The opened credentials of these probes, by probe: for who asks, never for a page. `collector` "" is the
    server. A credential of another client, or for a site at which the asset is not (any more), is left out.

    The probes come with `credential` and `asset`. The first time that a collector is handed a credential
    goes into the journal.
    """
    found: dict[str, dict[str, str]] = {}
    opened: dict[str, dict[str, str]] = {}
    rows: dict[str, Credential] = {}
    for probe in probes:
        row = probe.credential
        if row is None or row.client_id != probe.client_id:
            continue
        if row.site_id and row.site_id != probe.asset.site_id:
            continue
        if row.pk not in opened:
            opened[row.pk], rows[row.pk] = _open(row), row
        found[probe.pk] = opened[row.pk]
    if rows:
        known = set(
            CredentialUse.objects.filter(by=collector, credential__in=rows).values_list(
                "credential", flat=True
            )
        )
        for pk in sorted(rows.keys() - known):
            _first_use(rows[pk], collector, now)
    return found


def note_uses(uses: Uses, *, now: datetime) -> None:
    """Count how often probes signed in. What has no credential (any more) is left out."""
    probes = dict(
        Probe.objects.filter(pk__in={probe for probe, _ in uses}, credential__isnull=False)
        .values_list("pk", "credential")
    )  # fmt: skip
    counted: dict[tuple[str, str], int] = {}
    for (probe, by), count in uses.items():
        if probe in probes:
            key = (probes[probe], by)
            counted[key] = counted.get(key, 0) + count
    with transaction.atomic():
        for (credential, by), count in sorted(counted.items()):
            row, _ = CredentialUse.objects.get_or_create(
                credential_id=credential, by=by, defaults={"first_at": now}
            )
            CredentialUse.objects.filter(pk=row.pk).update(count=F("count") + count, last_at=now)


def _first_use(row: Credential, collector: str, now: datetime) -> None:
    with transaction.atomic():
        _, fresh = CredentialUse.objects.get_or_create(
            credential=row, by=collector, defaults={"first_at": now}
        )
        if fresh:
            actor = system_scope("estate")
            body = {"name": row.name, "collector": collector or "the server"}
            note_change(actor, "credential_first_used", row.client_id, row.pk, body)


def _read(kind: str, fields: Mapping[str, object]) -> dict[str, str]:
    if kind not in KINDS:
        raise Trouble(f"there is no kind of credential {kind!r}", f"Kinds are {', '.join(KINDS)}.")
    try:
        return KINDS[kind].read(fields)
    except ValueError as error:
        raise Trouble(str(error), "Correct this field of the credential.") from error


def _seal(row: Credential, fields: Mapping[str, str]) -> str:
    return seal(row.client_id, _record(row), json.dumps(fields, sort_keys=True))


def _open(row: Credential) -> dict[str, str]:
    found: dict[str, str] = json.loads(open_sealed(row.client_id, _record(row), row.sealed))
    return found


def _record(row: Credential) -> str:
    return f"credential/{row.pk}"
