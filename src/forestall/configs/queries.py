"""Every read of configurations. The first parameter is the scope."""

from datetime import datetime

from django.db.models import Q

from forestall.configs.differences import Row, rows
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


def compare(scope: Scope, identifier: str, *, other: str = "") -> list[Row] | None:
    """What a version has that another of the same configuration has not (`other`; else the one before it),
    line by line. None when one of the two is not there; a first version is compared with an empty text."""
    version = find_version(scope, identifier)
    if version is None:
        return None
    same = Version.objects.of(scope).filter(asset=version.asset_id, kind=version.kind)
    same = same.select_related("content")
    if not other:
        before = same.filter(number__lt=version.number).order_by("-captured_at").first()
        return list(rows(text_of(before) if before else "", text_of(version)))
    before = same.filter(pk=other).first()
    return None if before is None else list(rows(text_of(before), text_of(version)))


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
    return list(rows(text_of(change.before), text_of(change.after)))


def list_refusals(scope: Scope, *, asset: str = "") -> list[Refusal]:
    """Captures that were refused or cut short."""
    found = Refusal.objects.of(scope)
    if asset:
        found = found.filter(asset=asset)
    return list(found.select_related("asset").order_by("-at")[:PAGE_MAX])
