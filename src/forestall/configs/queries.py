"""Every read of configurations. The first parameter is the scope."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from forestall.configs.comparing import compare_texts
from forestall.configs.differences import Row
from forestall.configs.models import Change, Configuration, Refusal, Version
from forestall.configs.texts import text_of
from forestall.estate.tenancy import Scope

PAGE_MAX = 500
After = tuple[datetime, str] | None


def latest_versions(scope: Scope, *, asset: str) -> list[Version]:
    """The newest version of each kind of an asset, by title."""
    held = Configuration.objects.of(scope).filter(asset=asset).select_related("newest")
    return [one.newest for one in held.order_by("title", "kind")]


def find_configuration(scope: Scope, *, asset: str, kind: str) -> Configuration | None:
    """What is captured of an asset under one kind, or None."""
    held = Configuration.objects.of(scope).filter(asset=asset, kind=kind)
    return held.select_related("newest", "baseline").first()


def list_versions(
    scope: Scope, *, asset: str = "", kind: str = "", after: After = None, limit: int = 100
) -> list[Version]:
    """Versions, newest first; `after` is (captured_at, identifier) of the last one of the page before."""
    found = Version.objects.of(scope)
    if asset:
        found = found.filter(asset=asset)
    if kind:
        found = found.filter(kind=kind)
    if after:
        found = found.filter(Q(captured_at__lt=after[0]) | Q(captured_at=after[0], pk__lt=after[1]))
    return list(found.order_by("-captured_at", "-pk")[: min(limit, PAGE_MAX)])


def version_at(scope: Scope, *, asset: str, kind: str, at: datetime) -> Version | None:
    """The version of a configuration that was in force at an instant, as far as captures tell, or None."""
    found = Version.objects.of(scope).filter(asset=asset, kind=kind, captured_at__lte=at)
    return found.select_related("content").order_by("-captured_at").first()


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions, of one configuration or of two; `before` None: there is none before the first."""

    before: Version | None
    after: Version
    rows: list[Row]


def compare(scope: Scope, identifier: str, *, other: str = "", folded: bool = True) -> Compared | None:
    """What a version has that another has not (`other`, of any asset; else the one before it), line by line.
    None when one of the two is not there; a first version is compared with an empty text."""
    version = find_version(scope, identifier)
    if version is None:
        return None
    if other:
        before = find_version(scope, other)
        if before is None:
            return None
    else:
        same = Version.objects.of(scope).filter(asset=version.asset_id, kind=version.kind)
        earlier = same.filter(captured_at__lt=version.captured_at).select_related("content", "asset")
        before = earlier.order_by("-captured_at").first()
    found = compare_texts(text_of(before) if before else "", text_of(version), folded=folded)
    return Compared(before, version, found)


def neighbours(scope: Scope, version: Version) -> tuple[Version | None, Version | None]:
    """The versions of the same configuration before and after one."""
    same = Version.objects.of(scope).filter(asset=version.asset_id, kind=version.kind)
    before = same.filter(captured_at__lt=version.captured_at).order_by("-captured_at").first()
    after = same.filter(captured_at__gt=version.captured_at).order_by("captured_at").first()
    return before, after


def alike(scope: Scope, version: Version) -> list[Version]:
    """The newest versions of the same kind of configuration of the client's other assets of that kind."""
    held = Configuration.objects.of(scope).filter(
        client=version.client_id, kind=version.kind, asset__kind=version.asset.kind, asset__archived_at=None
    )
    held = held.exclude(asset=version.asset_id).select_related("newest__asset").order_by("asset__name")
    return [one.newest for one in held[:PAGE_MAX]]


def list_configurations(
    scope: Scope, *, client: str = "", asset: str = "", most: int = PAGE_MAX
) -> list[Configuration]:
    """What is captured, by asset and title, with what the spec says of it."""
    held = Configuration.objects.of(scope).filter(asset__archived_at=None)
    if client:
        held = held.filter(client=client)
    if asset:
        held = held.filter(asset=asset)
    held = held.select_related("asset", "newest", "baseline").order_by("asset__name", "title", "kind")
    return list(held[:most])


def find_version(scope: Scope, identifier: str) -> Version | None:
    """A version with its asset and text, or None."""
    found = Version.objects.of(scope).filter(pk=identifier)
    return found.select_related("asset", "asset__client", "content").first()


def read_text(scope: Scope, identifier: str) -> str | None:
    """The text of a version, or None."""
    version = find_version(scope, identifier)
    return text_of(version) if version else None


def list_changes(
    scope: Scope,
    *,
    client: str = "",
    asset: str = "",
    before: datetime | None = None,
    after: After = None,
    limit: int = 50,
) -> list[Change]:
    """Changes, newest first; `before` leaves out those at or after an instant, `after` is (at, identifier)
    of the last one of the page before."""
    found = Change.objects.of(scope)
    if client:
        found = found.filter(client=client)
    if asset:
        found = found.filter(asset=asset)
    if before is not None:
        found = found.filter(at__lt=before)
    if after:
        found = found.filter(Q(at__lt=after[0]) | Q(at=after[0], pk__lt=after[1]))
    return list(found.select_related("asset", "client").order_by("-at", "-pk")[: min(limit, PAGE_MAX)])


def find_change(scope: Scope, identifier: str) -> Change | None:
    """A change with both versions, or None."""
    found = Change.objects.of(scope).filter(pk=identifier)
    return found.select_related(
        "asset", "asset__client", "before", "after", "before__content", "after__content"
    ).first()


def difference(scope: Scope, change: Change) -> list[Row]:
    """What a change did, line by line."""
    if not scope.sees(change.client_id):
        return []
    return compare_texts(text_of(change.before), text_of(change.after))


def list_refusals(scope: Scope, *, asset: str = "") -> list[Refusal]:
    """Captures that were refused or cut short."""
    found = Refusal.objects.of(scope)
    if asset:
        found = found.filter(asset=asset)
    return list(found.select_related("asset").order_by("-at")[:PAGE_MAX])
