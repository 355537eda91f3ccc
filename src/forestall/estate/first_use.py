"""What a fresh installation begins with: the provider as a client of itself, and the machine it runs on.

So the first thing that a person sees is something true about their own machine.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from forestall.estate.models import Asset, Client, Collector, EnrolmentToken, Probe, Provider, Site
from forestall.journal.actions import append

OWN_CLIENT = "Our own network"
OWN_SITE = "Here"
SELF_NAME = "forestall"
TOKEN_LIVES = timedelta(minutes=15)
ACTOR = "forestall:first-use"


def ensure_first_estate(*, hostname: str, networks: Sequence[str], addresses: Sequence[str]) -> None:
    """Make provider, own client, site, this machine and Forestall itself, unless there is a provider already.

    `networks` (CIDR) become the ranges that this machine's collector may ask; `addresses` are those from
    which this machine sends to itself.
    """
    with transaction.atomic():
        _, fresh = Provider.objects.select_for_update().get_or_create(id=1, defaults={"name": "Our company"})
        if not fresh:
            return
        now = timezone.now()
        client = Client.objects.create(name=OWN_CLIENT)
        ranges = sorted({str(ipaddress.ip_network(network, strict=False)) for network in networks})
        site = Site.objects.create(client=client, name=OWN_SITE, ranges=ranges)
        machine = Asset.objects.create(
            client=client, site=site, name=hostname, kind="server", addresses=list(addresses)
        )
        itself = Asset.objects.create(
            client=client, site=site, name=SELF_NAME, kind="forestall", parent=machine
        )
        for kind, subject in (("client", client), ("site", site), ("asset", machine), ("asset", itself)):
            append(
                f"estate.{kind}_created",
                client=client.pk,
                subject=subject.pk,
                actor=ACTOR,
                body={"name": subject.name},
                at=now,
            )


def own_machine() -> Asset:
    """The asset of the machine on which the installation runs."""
    return Asset.objects.select_related("client", "site").get(pk=itself().parent_id)


def itself() -> Asset:
    """The asset that stands for Forestall itself."""
    found = Asset.objects.filter(kind="forestall").order_by("id").first()
    if found is None:
        raise LookupError("this installation has no asset for itself")
    return found


def token_for_this_machine() -> str:
    """A single-use enrolment token for this machine's own agent."""
    machine = own_machine()
    secret = secrets.token_urlsafe(32)
    EnrolmentToken.objects.create(
        client=machine.client,
        site=machine.site,
        asset=machine,
        token_hash=hashlib.sha256(secret.encode()).digest(),
        made_by=ACTOR,
        expires_at=timezone.now() + TOKEN_LIVES,
    )
    return secret


def ensure_first_probes(*, gateway: str, console_url: str) -> None:
    """Probes of this machine's network, run by its own collector, unless it has any: the way out, names,
    the console."""
    machine = own_machine()
    collector = Collector.objects.filter(asset=machine, revoked_at=None).order_by("-enrolled_at").first()
    if collector is None or Probe.objects.filter(collector=collector).exists():
        return
    first = [(itself(), "http", f"{console_url}/healthz", 30)]
    if gateway:
        router = Asset.objects.create(
            client=machine.client,
            site=machine.site,
            name=f"gateway {gateway}",
            kind="router",
            addresses=[gateway],
        )
        first.append((router, "icmp", gateway, 30))
    for asset, kind, target, interval_s in first:
        Probe.objects.create(
            client=machine.client,
            asset=asset,
            collector=collector,
            kind=kind,
            target=target,
            interval_s=interval_s,
        )
