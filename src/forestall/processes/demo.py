"""`up --demo`: a few example clients whose faults come and go, fed through the same queue as real ones.

Their assets carry the fact `demo`, so a later start without `--demo` neither feeds nor expects them.
"""

import random
import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from forestall.estate.models import Asset, Client, Site
from forestall.journal.actions import append
from forestall.kernel.observations import Observations
from forestall.processes.demo_networks import put_network
from forestall.processes.world import DEMONSTRATED, HOUR_MS, Business, World, make_businesses, plan_faults

CLIENTS = 5
SEED = 20261123
EVERY_S = 15.0
AHEAD_MS = 24 * HOUR_MS
ACTOR = "forestall:demo"


def ensure_demo() -> None:
    """Put the example clients into the estate, unless they are there."""
    businesses = make_businesses(random.Random(SEED), CLIENTS)  # noqa: S311 - an example, not a secret
    if Client.objects.filter(name=businesses[0].name).exists():
        return
    now = timezone.now()
    with transaction.atomic():
        for number, business in enumerate(businesses):
            put_into_estate(business, demo=True)
            put_network(business.client, number, now=now)
            append("estate.client_created", client=business.client, subject=business.client, actor=ACTOR,
                   body={"name": business.name, "demo": True}, at=now)  # fmt: skip


def put_into_estate(business: Business, *, demo: bool) -> None:
    """Make rows of a business; its things get their identifiers."""
    client = Client.objects.create(name=business.name)
    business.client = client.pk
    site = Site.objects.create(client=client, name="Main office")
    for thing in business.things:
        thing.asset = Asset.objects.create(
            client=client,
            site=site,
            parent_id=thing.behind.asset if thing.behind else None,
            name=thing.name,
            kind=thing.kind,
            facts={"demo": True} if demo else {},
        ).pk


class Demonstrator:
    """Feeds what the example clients would send. `send` makes one client's observations durable."""

    def __init__(self, send: Callable[[str, list[Observations]], None]) -> None:
        self._send = send
        rng = random.Random(SEED)  # noqa: S311
        businesses = make_businesses(rng, CLIENTS)
        known = {
            (asset.client.name, asset.name): asset
            for asset in Asset.objects.filter(facts__demo=True, archived_at=None).select_related("client")
        }
        self._businesses = [business for business in businesses if self._recognise(business, known)]
        self._plan(int(time.time() * 1000))

    @staticmethod
    def _recognise(business: Business, known: dict[tuple[str, str], Asset]) -> bool:
        """Give the things their identifiers; False when a person has removed some of them."""
        for thing in business.things:
            asset = known.get((business.name, thing.name))
            if asset is None:
                return False
            thing.asset, business.client = asset.pk, asset.client_id
        return True

    @property
    def has_clients(self) -> bool:
        """Whether there is anything to feed."""
        return bool(self._businesses)

    def _plan(self, now_ms: int) -> None:
        rng = random.Random(now_ms // AHEAD_MS)  # noqa: S311
        faults = plan_faults(
            rng, self._businesses, from_ms=now_ms, to_ms=now_ms + AHEAD_MS, rhythm=DEMONSTRATED, repeat=True
        )
        self._world = World(rng, self._businesses, faults)
        self._until_ms = now_ms + AHEAD_MS - HOUR_MS

    def feed(self, now_ms: int) -> None:
        """What is observed now."""
        if now_ms > self._until_ms:
            self._plan(now_ms)
        by_client: dict[str, list[Observations]] = {}
        for business, observations in self._world.at(now_ms):
            by_client.setdefault(business.client, []).append(observations)
        for client, observed in by_client.items():
            self._send(client, observed)
