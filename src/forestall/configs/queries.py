"""Every read of configurations. The first parameter is the scope."""

from datetime import datetime

from django.db.models import Max

from forestall.configs.actions import text_of
from forestall.configs.differences import Row, rows
from forestall.configs.models import Change, Refusal, Version
from forestall.estate.tenancy import Scope

PAGE_MAX = 500


def latest_versions(scope: Scope, *, asset: str) -> list[Version]:
    """The newest version of each kind of an asset, by title."""
    newest = Version.objects.of(scope).filter(asset=asset).values("kind").annotate(newest=Max("number"))
    numbers = {row["kind"]: row["newest"] for row in newest}
    found = Version.objects.of(scope).filter(asset=asset, kind__in=numbers, number__in=set(numbers.values()))
    return sorted(
        (version for version in found if version.number == numbers[version.kind]),
        key=lambda version: version.title,
    )


def list_versions(scope: Scope, *, asset: str, kind: str = "", limit: int = 100) -> list[Version]:
    """Versions, newest first."""
    found = Version.objects.of(scope).filter(asset=asset)
    if kind:
        found = found.filter(kind=kind)
    return list(found.order_by("-captured_at", "-number")[: min(limit, PAGE_MAX)])


def find_version(scope: Scope, identifier: str) -> Version | None:
    """A version with its asset and text, or None."""
    found = Version.objects.of(scope).filter(pk=identifier)
    return found.select_related("asset", "asset__client", "content").first()


def read_text(scope: Scope, identifier: str) -> str | None:
    """The text of a version, or None."""
    version = find_version(scope, identifier)
    return text_of(version) if version else None


def list_changes(
    scope: Scope, *, client: str = "", asset: str = "", before: datetime | None = None, limit: int = 50
) -> list[Change]:
    """Changes, newest first."""
    found = Change.objects.of(scope)
    if client:
        found = found.filter(client=client)
    if asset:
        found = found.filter(asset=asset)
    if before is not None:
        found = found.filter(at__lt=before)
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
