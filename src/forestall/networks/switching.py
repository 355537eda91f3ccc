"""How a site's discovery is switched on and off: a probe of the kind `discover` on the collector's machine.

It stands on that machine, because that is who must do it: a sweep that does not come is a silent probe there.
"""

from datetime import datetime

from django.db import transaction

from forestall.estate.actions import add_probe, ask_now, remove_probe
from forestall.estate.credentials import credential_for
from forestall.estate.models import Probe, Site
from forestall.estate.queries import find_collector
from forestall.estate.tenancy import Scope
from forestall.kernel.errors import Trouble
from forestall.networks.actions import move_collector

KIND, TARGET = "discover", "declared ranges"
CREDENTIALS = ("snmp_v2c", "snmp_v3")
EVERY_S = 3600


def discovery_of(scope: Scope, site: Site) -> Probe | None:
    """The probe that sweeps a site, or None."""
    rows = Probe.objects.of(scope).filter(kind=KIND, collector__site=site, client=site.client_id)
    return rows.select_related("collector__asset", "credential", "asset").order_by("pk").first()


def switch_on(
    scope: Scope, site: Site, *, collector: str, credential: str = "", interval_s: int = EVERY_S
) -> Probe:
    """Sweep the site from that collector. Raises Trouble without ranges, or when it is swept already."""
    if not site.ranges:
        raise Trouble("the site declares no ranges", "Add the networks that may be asked, then switch it on.")
    if discovery_of(scope, site) is not None:
        raise Trouble("the site is swept already", "Switch it off first to choose another collector.")
    asker = find_collector(scope, collector)
    if asker is None or asker.client_id != site.client_id or asker.revoked_at is not None:
        raise Trouble("there is no such collector", "Choose a machine of this client that has an agent.")
    with transaction.atomic():
        move_collector(scope, asker, site)
        if asker.asset.site_id is None:
            asker.asset.site = site
            asker.asset.save(update_fields=["site"])
        signs_in = credential_for(scope, asker.asset, credential, kinds=CREDENTIALS)
        return add_probe(
            scope, asset=asker.asset, kind=KIND, target=TARGET, interval_s=interval_s, collector=asker.pk,
            credential=signs_in,
        )  # fmt: skip


def switch_off(scope: Scope, site: Site) -> None:
    """The site is swept no more; what was seen stays."""
    probe = discovery_of(scope, site)
    if probe is not None:
        remove_probe(scope, probe)


def sweep_now(scope: Scope, site: Site, *, now: datetime) -> None:
    """Have the site swept at once. Raises Trouble when its discovery is off."""
    probe = discovery_of(scope, site)
    if probe is None:
        raise Trouble("the site is not swept", "Switch its discovery on first.")
    ask_now(scope, [probe], now=now)
