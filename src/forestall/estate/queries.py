"""Every read of the estate. The first parameter is the scope: what it does not see is not there."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.db.models import Count, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
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
from forestall.kernel.errors import Trouble

PAGE_MAX = 500
FOUND_MAX = 20
DEPTH_MAX = 20
CLIENTS_MAX = 100_000  # the installation's own work reads all of them at once

Row = TypeVar("Row", bound=Model)
After = tuple[str, str] | None  # (name, identifier) of the last row of the page before


@dataclass(frozen=True, slots=True)
class Found:
    """Something that the search box found."""

    kind: str
    id: str
    name: str
    client: str


@dataclass(frozen=True, slots=True)
class Branch:
    """An asset with what hangs on it."""

    asset: Asset
    branches: list["Branch"] = field(default_factory=list)


def provider(scope: Scope) -> Provider:
    """The MSP itself: the same for every reader."""
    return Provider.objects.filter(id=1).first() or Provider(id=1, name="Forestall")


def list_clients(
    scope: Scope, *, after: str = "", limit: int = PAGE_MAX, archived: bool = False
) -> list[Client]:
    """Clients by name, with how many assets they have (`asset_count`)."""
    rows = Client.objects.of(scope).filter(archived_at__isnull=not archived)
    if after:
        rows = rows.filter(name__gt=after)
    return list(_with_asset_count(rows).order_by("name")[: min(limit, CLIENTS_MAX)])


def clients_by_id(scope: Scope, identifiers: Collection[str]) -> list[Client]:
    """The clients with these identifiers that the scope sees, with their `asset_count`."""
    rows = Client.objects.of(scope).filter(pk__in=list(identifiers)[:PAGE_MAX])
    return list(_with_asset_count(rows).order_by("name"))


def clients_like(scope: Scope, words: str) -> list[Client]:
    """The first clients by name whose name has all the words: what a field suggests while somebody types."""
    rows = Client.objects.of(scope).filter(archived_at=None)
    for word in words.split()[:10]:
        rows = rows.filter(name__icontains=word)
    return list(rows.order_by("name")[:FOUND_MAX])


def client_called(scope: Scope, text: str) -> Client:
    """The client of that name (in small letters or not) or identifier. Raises Trouble when there is none."""
    rows = Client.objects.of(scope)
    named = list(rows.filter(name__iexact=text.strip(), archived_at=None)[:2])
    found = named[0] if len(named) == 1 else rows.filter(Q(name=text.strip()) | Q(pk=text.strip())).first()
    if found is None:
        raise Trouble(
            f"there is no client called {text.strip()!r}", "Choose one of those that the field suggests."
        )
    return found


def find_client(scope: Scope, identifier: str) -> Client | None:
    """A client, or None."""
    return Client.objects.of(scope).filter(pk=identifier).first()


def list_sites(scope: Scope, *, client: str = "", after: After = None, limit: int = PAGE_MAX) -> list[Site]:
    """Sites by name."""
    return _page(_of_client(Site.objects.of(scope), client).select_related("client"), after, limit)


def find_site(scope: Scope, identifier: str) -> Site | None:
    """A site, or None."""
    return Site.objects.of(scope).filter(pk=identifier).select_related("client").first()


def list_contacts(
    scope: Scope, *, client: str = "", after: After = None, limit: int = PAGE_MAX
) -> list[Contact]:
    """Contacts by name."""
    return _page(_of_client(Contact.objects.of(scope), client).select_related("client"), after, limit)


def find_contact(scope: Scope, identifier: str) -> Contact | None:
    """A contact, or None."""
    return Contact.objects.of(scope).filter(pk=identifier).select_related("client").first()


def list_tags(scope: Scope, *, client: str = "", after: After = None, limit: int = PAGE_MAX) -> list[Tag]:
    """Tags by name, with how many assets have them (`asset_count`)."""
    rows = _of_client(Tag.objects.of(scope), client)
    counted = rows.annotate(asset_count=Count("assets", filter=Q(assets__archived_at=None)))
    return _page(counted, after, limit)


def find_tag(scope: Scope, identifier: str) -> Tag | None:
    """A tag, or None."""
    return Tag.objects.of(scope).filter(pk=identifier).first()


def list_assets(
    scope: Scope,
    *,
    client: str = "",
    site: str = "",
    kind: str = "",
    tag: str = "",
    words: str = "",
    archived: bool = False,
    after: After = None,
    limit: int = 100,
) -> list[Asset]:
    """Assets by name, those that are archived only if asked for."""
    rows = _of_client(Asset.objects.of(scope), client).filter(archived_at__isnull=not archived)
    if site:
        rows = rows.filter(site=site)
    if kind:
        rows = rows.filter(kind=kind)
    if tag:
        rows = rows.filter(tags__name=tag)
    for word in words.split()[:10]:
        rows = rows.filter(Q(name__icontains=word) | Q(client__name__icontains=word))
    return _page(rows.select_related("client", "site").prefetch_related("tags"), after, limit)


def count_assets(scope: Scope) -> int:
    """How many assets are watched."""
    return Asset.objects.of(scope).filter(archived_at=None).count()


def find_asset(scope: Scope, identifier: str) -> Asset | None:
    """An asset with client, site and parent, or None."""
    rows = Asset.objects.of(scope).filter(pk=identifier)
    return rows.select_related("client", "site", "parent").prefetch_related("tags").first()


def assets_named(scope: Scope, name: str, *, client: str = "") -> list[Asset]:
    """Assets that are not archived with exactly this name, in small letters or not."""
    rows = _of_client(Asset.objects.of(scope), client).filter(archived_at=None, name__iexact=name)
    return list(rows.select_related("client").order_by("pk")[:PAGE_MAX])


def children_of(scope: Scope, asset: Asset) -> list[Asset]:
    """What hangs on an asset."""
    return list(Asset.objects.of(scope).filter(parent=asset, archived_at=None)[:PAGE_MAX])


def parents_of(scope: Scope, asset: Asset) -> list[Asset]:
    """What an asset hangs on, the nearest first."""
    above: list[Asset] = []
    next_one = asset.parent_id
    while next_one and len(above) < DEPTH_MAX:
        found = Asset.objects.of(scope).filter(pk=next_one).first()
        if found is None or found in above:
            break
        above.append(found)
        next_one = found.parent_id
    return above


def tree_of(scope: Scope, *, client: str, limit: int = 5000) -> list[Branch]:
    """The assets of a client as trees: what hangs on nothing first, each with what hangs on it."""
    rows = Asset.objects.of(scope).filter(client=client, archived_at=None)
    branches = {asset.pk: Branch(asset) for asset in rows.select_related("site").order_by("name")[:limit]}
    roots: list[Branch] = []
    for branch in branches.values():
        above = branches.get(branch.asset.parent_id or "")
        (above.branches if above else roots).append(branch)
    return roots


def list_probes(
    scope: Scope, *, client: str = "", asset: str = "", after: str = "", limit: int = PAGE_MAX
) -> list[Probe]:
    """Probes of a client or of an asset, the oldest first; `after` is the identifier of the last one seen."""
    rows = _of_client(Probe.objects.of(scope), client)
    if asset:
        rows = rows.filter(asset=asset)
    if after:
        rows = rows.filter(pk__gt=after)
    rows = rows.select_related("asset", "collector", "credential")
    return list(rows.order_by("pk")[: min(limit, PAGE_MAX)])


def probes_of_collector(scope: Scope, collector: str, *, limit: int = PAGE_MAX) -> list[Probe]:
    """What a collector is ordered to ask, by kind and target, with assets and credentials."""
    rows = Probe.objects.of(scope).filter(collector=collector).select_related("asset", "credential")
    return list(rows.order_by("kind", "target", "pk")[: min(limit, PAGE_MAX)])


def find_probe(scope: Scope, identifier: str) -> Probe | None:
    """A probe, or None."""
    return Probe.objects.of(scope).filter(pk=identifier).select_related("asset").first()


def list_collectors(scope: Scope, *, client: str = "", limit: int = PAGE_MAX) -> list[Collector]:
    """Enrolled collectors, the longest silent first; the server's own are left out."""
    rows = _of_client(Collector.objects.of(scope), client).filter(revoked_at=None).exclude(platform="server")
    return list(
        rows.select_related("client", "site", "asset").order_by("last_seen_at", "pk")[: min(limit, PAGE_MAX)]
    )


def find_collector(scope: Scope, identifier: str) -> Collector | None:
    """A collector, or None."""
    found = Collector.objects.of(scope).filter(pk=identifier)
    return found.select_related("asset", "client", "site").first()


def list_enrolment_tokens(scope: Scope, *, client: str = "") -> list[EnrolmentToken]:
    """Tokens that can still be used."""
    rows = _of_client(EnrolmentToken.objects.of(scope), client)
    rows = rows.filter(used_at=None, expires_at__gt=timezone.now())
    return list(rows.select_related("client", "site", "asset").order_by("-pk")[:PAGE_MAX])


def list_people(scope: Scope, *, after: After = None, limit: int = PAGE_MAX) -> list[Person]:
    """People by name: all of them for staff who see every client, else those who share a client."""
    return _page(_people(scope).prefetch_related("clients"), after, limit)


def find_person(scope: Scope, identifier: str) -> Person | None:
    """A person whom the scope sees, or None."""
    return _people(scope).filter(pk=identifier).first()


def person_called(scope: Scope, email: str) -> Person:
    """The person who signs in with that address. Raises Trouble when the scope sees none."""
    found = _people(scope).filter(email__iexact=email.strip(), is_active=True).first()
    if found is None:
        raise Trouble(f"nobody signs in with the address {email!r}", "Add them: forestall user add EMAIL.")
    return found


def list_tokens(scope: Scope, *, person: Person | None = None) -> list[ApiToken]:
    """API tokens that were not revoked, the newest first: a person's own, or those of all whom one sees."""
    rows = _tokens(scope)
    if person is not None:
        rows = rows.filter(person=person)
    return list(rows.select_related("client", "asset", "person").order_by("-pk")[:PAGE_MAX])


def find_token(scope: Scope, identifier: str, *, person: Person | None = None) -> ApiToken | None:
    """A token that was not revoked (of that person), or None."""
    rows = _tokens(scope).filter(pk=identifier)
    if person is not None:
        rows = rows.filter(person=person)
    return rows.select_related("client", "person").first()


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


def _with_asset_count(rows: "QuerySet[Client]") -> "QuerySet[Client]":
    """Counted for each row that is read; a join would count for all clients before the first is given."""
    assets = Asset.objects.filter(client=OuterRef("pk"), archived_at=None).order_by().values("client")
    return rows.annotate(
        asset_count=Coalesce(Subquery(assets.annotate(count=Count("pk")).values("count")), 0)
    )


def _of_client(rows: "QuerySet[Row]", client: str) -> "QuerySet[Row]":
    return rows.filter(client=client) if client else rows


def _page(rows: "QuerySet[Row]", after: After, limit: int) -> list[Row]:
    if after:
        rows = rows.filter(Q(name__gt=after[0]) | Q(name=after[0], pk__gt=after[1]))
    return list(rows.order_by("name", "pk")[: min(limit, PAGE_MAX)])


def _people(scope: Scope) -> "QuerySet[Person]":
    if scope.everything:
        return Person.objects.all()
    return Person.objects.filter(all_clients=False, clients__in=scope.clients).distinct()


def _tokens(scope: Scope) -> "QuerySet[ApiToken]":
    """A token is seen by who sees its person, and its client when it is bound to one."""
    rows = ApiToken.objects.filter(revoked_at=None)
    if scope.everything:
        return rows
    visible = Q(client=None, person__all_clients=False, person__clients__in=scope.clients)
    return rows.filter(visible | Q(client__in=scope.clients)).distinct()


def assets_by_id(scope: Scope, identifiers: Collection[str]) -> list[Asset]:
    """The assets with these identifiers that the scope sees."""
    return list(Asset.objects.of(scope).filter(pk__in=list(identifiers)[:PAGE_MAX]))
