"""Every read of the estate. The first parameter is the scope: what it does not see is not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from forestall.estate.models import (
    ApiToken,
    Asset,
    Client,
    Collector,
    Contact,
    EnrolmentToken,
    Person,
    Probe,
    Provider,
    Site,
    Tag,
)
from forestall.estate.tenancy import Scope

PAGE_MAX = 500
FOUND_MAX = 20
DEPTH_MAX = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Something that the search box found."""

    kind: str
    id: str
    name: str
    client: str


def provider() -> Provider:
    """The MSP itself; not a client's data."""
    return Provider.objects.filter(id=1).first() or Provider(id=1, name="Forestall")


def list_clients(
    scope: Scope, *, after: str = "", limit: int = PAGE_MAX, archived: bool = False
) -> list[Client]:
    """Clients by name, with how many assets they have (`asset_count`)."""
    rows = Client.objects.of(scope).filter(archived_at__isnull=not archived)
    if after:
        rows = rows.filter(name__gt=after)
    counted = rows.annotate(asset_count=Count("assets", filter=Q(assets__archived_at=None)))
    return list(counted.order_by("name")[: min(limit, PAGE_MAX)])


def find_client(scope: Scope, identifier: str) -> Client | None:
    """A client, or None."""
    return Client.objects.of(scope).filter(pk=identifier).first()


def list_sites(scope: Scope, *, client: str = "", limit: int = PAGE_MAX) -> list[Site]:
    """Sites by name."""
    return list(_of_client(Site.objects.of(scope), client).select_related("client")[: min(limit, PAGE_MAX)])


def find_site(scope: Scope, identifier: str) -> Site | None:
    """A site, or None."""
    return Site.objects.of(scope).filter(pk=identifier).select_related("client").first()


def list_contacts(scope: Scope, *, client: str = "", limit: int = PAGE_MAX) -> list[Contact]:
    """Contacts by name."""
    return list(
        _of_client(Contact.objects.of(scope), client).select_related("client")[: min(limit, PAGE_MAX)]
    )


def find_contact(scope: Scope, identifier: str) -> Contact | None:
    """A contact, or None."""
    return Contact.objects.of(scope).filter(pk=identifier).first()


def list_tags(scope: Scope, *, client: str = "") -> list[Tag]:
    """Tags by name."""
    return list(_of_client(Tag.objects.of(scope), client)[:PAGE_MAX])


def list_assets(
    scope: Scope,
    *,
    client: str = "",
    site: str = "",
    kind: str = "",
    tag: str = "",
    words: str = "",
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[Asset]:
    """Assets that are not archived, by name; `after` is (name, id) of the last one of the page before."""
    rows = _of_client(Asset.objects.of(scope), client).filter(archived_at=None)
    if site:
        rows = rows.filter(site=site)
    if kind:
        rows = rows.filter(kind=kind)
    if tag:
        rows = rows.filter(tags__name=tag)
    for word in words.split()[:10]:
        rows = rows.filter(Q(name__icontains=word) | Q(client__name__icontains=word))
    if after:
        rows = rows.filter(Q(name__gt=after[0]) | Q(name=after[0], pk__gt=after[1]))
    return list(rows.select_related("client", "site").order_by("name", "pk")[: min(limit, PAGE_MAX)])


def find_asset(scope: Scope, identifier: str) -> Asset | None:
    """An asset with client, site and parent, or None."""
    rows = Asset.objects.of(scope).filter(pk=identifier)
    return rows.select_related("client", "site", "parent").prefetch_related("tags").first()


def children_of(scope: Scope, asset: Asset) -> list[Asset]:
    """What hangs on an asset."""
    return list(Asset.objects.of(scope).filter(parent=asset, archived_at=None)[:PAGE_MAX])


def list_probes(scope: Scope, *, client: str = "", asset: str = "", limit: int = PAGE_MAX) -> list[Probe]:
    """Probes, of a client or of an asset."""
    rows = _of_client(Probe.objects.of(scope), client)
    if asset:
        rows = rows.filter(asset=asset)
    return list(rows.select_related("asset", "collector")[: min(limit, PAGE_MAX)])


def find_probe(scope: Scope, identifier: str) -> Probe | None:
    """A probe, or None."""
    return Probe.objects.of(scope).filter(pk=identifier).first()


def list_collectors(scope: Scope, *, client: str = "") -> list[Collector]:
    """Enrolled collectors, the longest silent first; the server's own are left out."""
    rows = _of_client(Collector.objects.of(scope), client).filter(revoked_at=None).exclude(platform="server")
    return list(rows.select_related("client", "site", "asset").order_by("last_seen_at", "pk")[:PAGE_MAX])


def find_collector(scope: Scope, identifier: str) -> Collector | None:
    """A collector, or None."""
    return Collector.objects.of(scope).filter(pk=identifier).select_related("asset").first()


def list_enrolment_tokens(scope: Scope) -> list[EnrolmentToken]:
    """Tokens that can still be used."""
    rows = EnrolmentToken.objects.of(scope).filter(used_at=None, expires_at__gt=timezone.now())
    return list(rows.select_related("client", "site", "asset").order_by("-pk")[:PAGE_MAX])


def list_people(scope: Scope) -> list[Person]:
    """People: all of them for staff who see every client, else those who share a client."""
    rows = Person.objects.prefetch_related("clients").order_by("name")
    if not scope.everything:
        rows = rows.filter(all_clients=False, clients__in=scope.clients).distinct()
    return list(rows[:PAGE_MAX])


def find_person(scope: Scope, identifier: str) -> Person | None:
    """A person whom the scope sees, or None."""
    rows = Person.objects.filter(pk=identifier)
    if not scope.everything:
        rows = rows.filter(all_clients=False, clients__in=scope.clients).distinct()
    return rows.first()


def list_tokens(scope: Scope, *, person: Person) -> list[ApiToken]:
    """A person's API tokens that were not revoked."""
    rows = ApiToken.objects.filter(person=person, revoked_at=None)
    if not scope.everything:
        rows = rows.filter(Q(client=None) | Q(client__in=scope.clients))
    return list(rows.select_related("client").order_by("-pk")[:PAGE_MAX])


def find_token(scope: Scope, identifier: str, *, person: Person) -> ApiToken | None:
    """One of a person's own tokens, or None."""
    return next((token for token in list_tokens(scope, person=person) if token.pk == identifier), None)


def search(scope: Scope, words: str) -> Sequence[Found]:
    """Clients and assets whose name has all the words."""
    wanted = words.split()[:10]
    if not wanted:
        return []
    clients, assets = Client.objects.of(scope).filter(archived_at=None), Asset.objects.of(scope)
    assets = assets.filter(archived_at=None)
    for word in wanted:
        clients = clients.filter(name__icontains=word)
        assets = assets.filter(Q(name__icontains=word) | Q(addresses__icontains=word))
    found = [Found("client", row.pk, row.name, "") for row in clients[:FOUND_MAX]]
    found += [
        Found("asset", row.pk, row.name, row.client.name)
        for row in assets.select_related("client")[:FOUND_MAX]
    ]
    return found


def _of_client(rows: Any, client: str) -> Any:
    return rows.filter(client=client) if client else rows
