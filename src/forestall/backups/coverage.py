"""What is in no plan: volumes, databases, machines. A thing is covered by a plan on its machine that names
it or a folder above it."""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forestall.backups.models import BackupPlan, Worth
from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.kernel.backups import UncoveredSeen

MACHINES = ("server", "storage")
DATABASE_TOOLS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"postgres_dump", "postgres_base"}),
    "mariadb": frozenset({"mariadb_dump"}),
}
WHOLE_MACHINE_TOOLS = frozenset({"windows_server_backup", "veeam", "proxmox", "synology", "postgres_base"})
ASSETS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on a machine: `plan` covers it ("" none), or it is `left_out` for a reason."""

    asset: Asset
    what: str
    name: str
    size: int | None = None
    said: str = ""
    plan: str = ""
    left_out: str = ""
    at: datetime | None = None

    @property
    def uncovered(self) -> bool:
        """Whether nobody would miss it until it is gone."""
        return not self.plan and not self.left_out


def key_of(what: str, name: str) -> str:
    """What and name as one word."""
    return f"{what} {name}"


def coverage(scope: Scope, *, client: str = "", asset: str = "") -> list[Thing]:
    """All that is worth keeping on the machines of a client (or an asset), what is in no plan first."""
    assets = Asset.objects.of(scope).filter(archived_at=None)
    assets = assets.filter(client=client) if client else assets
    assets = assets.filter(pk=asset) if asset else assets
    rows = {row.pk: row for row in assets.select_related("client").order_by("name")[:ASSETS_MAX]}
    worths = {
        row.asset_id: row
        for row in Worth.objects.of(scope).filter(asset__in=assets.values("pk"))[:ASSETS_MAX]
    }
    plans: dict[str, list[BackupPlan]] = {}
    for plan in BackupPlan.objects.of(scope).filter(archived_at=None, asset__in=assets.values("pk")):
        plans.setdefault(plan.asset_id, []).append(plan)
    found: list[Thing] = []
    for pk, row in rows.items():
        found += things_of(row, plans.get(pk, ()), worths.get(pk))
    return sorted(found, key=lambda one: (not one.uncovered, one.asset.name, one.what, one.name))


def things_of(asset: Asset, plans: Iterable[BackupPlan], worth: Worth | None) -> list[Thing]:
    """The same for one machine, whose plans these are."""
    plans = list(plans)
    left_out: Mapping[str, str] = worth.left_out if worth else {}
    found = []
    if asset.kind in MACHINES and not plans:
        reason = left_out.get(key_of("machine", ""), "")
        found.append(Thing(asset, "machine", "", said="no plan at all", left_out=reason))
    if worth is None:
        return found
    things = [_seen(stored) for stored in worth.things]
    volumes = [one.name for one in things if one.what == "volume"]
    for seen in things:
        plan = next((one for one in plans if covers(one, seen, volumes=volumes)), None)
        found.append(
            Thing(
                asset, seen.what, seen.name, seen.size, seen.said, plan.name if plan else "",
                left_out.get(key_of(seen.what, seen.name), ""), worth.at,
            )
        )  # fmt: skip
    return found


def covers(plan: BackupPlan, thing: UncoveredSeen, *, volumes: Iterable[str] = ()) -> bool:
    """Whether the plan is meant to save that: it has the whole machine, the path or a folder above it, or
    for a volume at least a folder on it; a database by its name, or all of its server. `volumes`: the mount
    points of the machine, so that a folder counts for the volume that it is on."""
    if plan.tool in WHOLE_MACHINE_TOOLS and not plan.sources:
        return True
    if thing.what == "database":
        server, _, database = thing.name.partition("/")
        tools = DATABASE_TOOLS.get(server)
        if tools is None or plan.tool not in tools:
            return False
        return not plan.sources or database in plan.sources or thing.name in plan.sources
    path = _plain(thing.name)
    sources = [_plain(one) for one in plan.sources]
    if any(_inside(path, one) for one in sources):
        return True
    return thing.what == "volume" and any(_volume_of(one, [*volumes, path]) == path for one in sources)


def _volume_of(path: str, volumes: Iterable[str]) -> str:
    """The volume that a path is on."""
    return max((one for one in map(_plain, volumes) if _inside(path, one)), key=len, default="")


def _seen(stored: Mapping[str, Any]) -> UncoveredSeen:
    return UncoveredSeen(stored["what"], str(stored["name"]), stored.get("size"), str(stored.get("said", "")))


def _plain(path: str) -> str:
    """A path as it is compared: Windows paths in small letters with slashes."""
    if len(path) > 1 and path[1] == ":":
        path = "/" + path.replace("\\", "/").lower()
    return posixpath.normpath(path or "/")


def _inside(path: str, folder: str) -> bool:
    """Whether a path is that folder or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
