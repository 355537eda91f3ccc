"""What sweeps saw becomes rows, proposals and parents; what people decide about it stays."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, make_site, scope_for
from forestall.estate.actions import archive_asset
from forestall.estate.models import Asset, Client, Collector, Site
from forestall.journal.models import Entry
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Link, Sweep
from forestall.kernel.observations import Sighting as Seen
from forestall.networks import actions, queries
from forestall.networks.actions import PlacedSweep, take_sweeps
from forestall.networks.models import Hanging, Sighting, SweepOfSite, Wire

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def seen(number: int, name: str = "", **fields: Any) -> Seen:
    given = {"mac": mac(number), "names": [name] if name else [], "by": ["ping"]} | fields
    return Seen(0, f"10.0.0.{number}", **given)


ROUTER = seen(1, "router", forwards=True, macs=[mac(1)], description="Linux router")
SWITCH = seen(2, "sw-1", macs=[mac(2)], description="Cisco IOS Software, C2960")
PRINTER = seen(3, "printer", ports=[9100])
LINKS = [
    Link("lldp", "10.0.0.2", "g1", name="router", remote_port="lan"),
    Link("fdb", "10.0.0.2", "g3", mac=mac(3)),
    Link("fdb", "10.0.0.2", "g9", mac=mac(9)),
    Link("route", "10.0.0.9", "eth0", address="10.0.0.1"),
]


class Place:
    """A site of a client whose collector sweeps it, from the machine .9."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or make_client()
        self.site = make_site(self.client, ranges=["10.0.0.0/24"])
        self.machine = make_asset(self.client, "collector", site=self.site)
        self.collector = Collector.objects.create(
            client=self.client, site=self.site, asset=self.machine, public_key=b"k" * 32, key_since=START,
            enrolled_at=START, platform="Linux",
        )  # fmt: skip

    def sweep(self, *sightings: Seen, at: datetime = START, links: list[Link] = LINKS, **given: Any) -> None:
        own = seen(9, "collector", by=["own"])
        found = Sweep([*sightings, own], links, asked=254, **given)
        placed = PlacedSweep(
            self.client.pk, self.machine.pk, self.collector.pk, to_ms(at), f"{len(sightings)} devices", found
        )
        take_sweeps([placed])

    def device(self, number: int) -> Sighting:
        return Sighting.objects.get(site=self.site, address=f"10.0.0.{number}")

    def waiting(self) -> set[str]:
        return {one.address for one in queries.list_sightings(EVERYTHING, site=self.site.pk, state="waiting")}


def parent_of(asset: Asset) -> str | None:
    return Asset.objects.get(pk=asset.pk).parent_id


def test_a_sweep_proposes_and_adds_nothing() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    assert Asset.objects.filter(client=place.client).count() == 1
    assert place.waiting() == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert place.device(9).asset == place.machine
    assert place.device(9).matched_by == "it is the machine that made the sweep"
    assert place.device(2).kind == "switch" and place.device(3).kind == "printer"
    (told,) = Entry.objects.filter(kind="networks.devices_appeared")
    body = json.loads(bytes(told.body))["body"]
    assert body["count"] == 3 and "sw-1 (10.0.0.2)" in body["devices"] and body["first_sweep"]


def test_the_same_sweep_twice_and_an_older_one_change_nothing() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + HOUR)
    before = list(Sighting.objects.order_by("pk").values()), SweepOfSite.objects.values().get()
    entries = Entry.objects.count()
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + HOUR)
    place.sweep(ROUTER, at=START)
    assert (list(Sighting.objects.order_by("pk").values()), SweepOfSite.objects.values().get()) == before
    assert Entry.objects.count() == entries


def test_a_known_device_at_a_new_address_is_the_same_and_another_at_its_address_is_not() -> None:
    place = Place()
    place.sweep(PRINTER)
    first = place.device(3)
    place.sweep(seen(30, "printer", mac=mac(3)), at=START + HOUR)
    first.refresh_from_db()
    assert first.address == "10.0.0.30" and Sighting.objects.count() == 2
    place.sweep(seen(30, "laptop", mac=mac(77)), at=START + 2 * HOUR)
    assert {one.mac for one in Sighting.objects.filter(address="10.0.0.30")} == {mac(3), mac(77)}


def test_what_a_sweep_did_not_learn_stays_known() -> None:
    place = Place()
    place.sweep(SWITCH)
    place.sweep(seen(2, by=["neighbours"]), at=START + HOUR)
    row = place.device(2)
    assert (row.title, row.kind, row.last_at) == ("sw-1", "switch", START + HOUR)
    assert row.description.startswith("Cisco")


def test_a_proposal_becomes_an_asset_in_one_click_and_hangs_where_it_is_plugged_in() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    printer = actions.confirm(EVERYTHING, place.device(3), now=START)
    assert (printer.name, printer.kind, printer.addresses, printer.site) == (
        "printer", "printer", ["10.0.0.3"], place.site,
    )  # fmt: skip
    assert parent_of(printer) is None, "what it hangs on is no asset yet"
    switch = actions.confirm(EVERYTHING, place.device(2), name="Core", kind="switch", now=START)
    assert (switch.name, parent_of(printer), parent_of(place.machine)) == ("Core", switch.pk, switch.pk)
    router = actions.confirm(EVERYTHING, place.device(1), now=START)
    assert parent_of(switch) == router.pk
    assert place.waiting() == set()
    assert Entry.objects.filter(kind="estate.asset_created", subject=printer.pk).exists()
    hung = Entry.objects.filter(kind="estate.asset_hung", subject=printer.pk).get()
    assert "sw-1 sees its MAC on g3" in json.loads(bytes(hung.body))["body"]["because"]
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + HOUR)
    assert Asset.objects.filter(client=place.client).count() == 4 and place.waiting() == set()


def test_what_cannot_be_confirmed_says_why() -> None:
    place = Place()
    place.sweep(ROUTER, PRINTER)
    with pytest.raises(Trouble, match="no kind of asset"):
        actions.confirm(EVERYTHING, place.device(3), kind="toaster", now=START)
    make_asset(place.client, "taken")
    with pytest.raises(Trouble):
        actions.confirm(EVERYTHING, place.device(3), name="taken", now=START)
    assert place.device(3).asset is None
    row = place.device(3)
    actions.confirm(EVERYTHING, row, now=START)
    with pytest.raises(Trouble, match="an asset already"):
        actions.confirm(EVERYTHING, place.device(3), now=START)


def test_a_device_can_be_an_asset_that_is_there() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    there = make_asset(place.client, "Office printer", kind="printer", addresses=["printer.example"])
    actions.merge(EVERYTHING, place.device(3), there, now=START)
    there.refresh_from_db()
    assert there.addresses == ["printer.example", "10.0.0.3"]
    assert place.device(3).matched_by == "chosen by a person" and "10.0.0.3" not in place.waiting()
    assert Entry.objects.filter(kind="estate.sighting_merged").exists()
    place.sweep(ROUTER, SWITCH, seen(33, "renamed", mac=mac(3)), at=START + HOUR)
    assert place.device(33).asset == there, "it is known by its MAC from now on"
    with pytest.raises(Trouble, match="no such asset"):
        actions.merge(EVERYTHING, place.device(2), make_asset(), now=START)


def test_what_is_dismissed_stays_so_until_it_is_proposed_again() -> None:
    place = Place()
    place.sweep(ROUTER, PRINTER)
    actions.dismiss(EVERYTHING, place.device(3), now=START)
    place.sweep(ROUTER, PRINTER, at=START + HOUR)
    assert place.waiting() == {"10.0.0.1"}
    assert queries.count_waiting(EVERYTHING) == {place.client.pk: 1}
    kept = place.device(3)
    assert kept.dismissed_by == EVERYTHING.actor
    actions.propose_again(EVERYTHING, kept)
    actions.propose_again(EVERYTHING, kept)
    assert place.waiting() == {"10.0.0.1", "10.0.0.3"}
    kinds = list(Entry.objects.filter(kind__startswith="estate.sighting").values_list("kind", flat=True))
    assert kinds == ["estate.sighting_dismissed", "estate.sighting_proposed"]
    actions.dismiss(EVERYTHING, place.device(3), now=START)
    actions.confirm(EVERYTHING, place.device(3), now=START)
    assert place.device(3).dismissed_at is None


def test_nobody_dismisses_another_clients_device() -> None:
    place, other = Place(), make_client()
    place.sweep(ROUTER)
    actions.dismiss(scope_for(other), place.device(1), now=START)
    assert place.waiting() == {"10.0.0.1"}
    assert queries.find_sighting(scope_for(other), place.device(1).pk) is None
    assert queries.list_sightings(scope_for(other)) == [] == queries.list_wires(scope_for(other))


def test_an_asset_is_recognised_at_its_own_site_alone() -> None:
    client = make_client()
    here, there = Place(client), make_site(client)
    same = make_asset(client, "printer", kind="printer", site=there, addresses=["10.0.0.3"])
    here.sweep(PRINTER)
    assert "10.0.0.3" in here.waiting()
    Asset.objects.filter(pk=same.pk).update(site=here.site)
    here.sweep(PRINTER, at=START + HOUR)
    assert here.device(3).asset == same and "address 10.0.0.3" in here.device(3).matched_by


def test_a_parent_that_a_person_chose_or_took_away_stays() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    switch = actions.confirm(EVERYTHING, place.device(2), now=START)
    router = actions.confirm(EVERYTHING, place.device(1), now=START)
    printer = actions.confirm(EVERYTHING, place.device(3), now=START)
    Asset.objects.filter(pk=printer.pk).update(parent=router)  # a person's choice
    Asset.objects.filter(pk=switch.pk).update(parent=None)  # and one who took it away
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + HOUR)
    assert (parent_of(printer), parent_of(switch)) == (router.pk, None)
    assert Hanging.objects.get(asset=printer).parent == switch, "the network's word stands beside it"
    printer.refresh_from_db()
    actions.hang_as_told(EVERYTHING, printer, now=START)
    assert parent_of(printer) == switch.pk
    moved = [one for one in LINKS if one.port != "g3"] + [Link("fdb", "10.0.0.1", "lan2", mac=mac(3))]
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + 2 * HOUR, links=moved)
    assert parent_of(printer) == router.pk, "and it follows the network from then on"


def test_hanging_an_asset_on_what_hangs_on_it_is_refused() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    switch = actions.confirm(EVERYTHING, place.device(2), now=START)
    router = actions.confirm(EVERYTHING, place.device(1), now=START)
    Asset.objects.filter(pk=switch.pk).update(parent=None)
    Asset.objects.filter(pk=router.pk).update(parent=switch)
    with pytest.raises(Trouble, match="would hang on itself"):
        actions.hang_as_told(EVERYTHING, Asset.objects.get(pk=switch.pk), now=START)
    with pytest.raises(Trouble, match="says nothing"):
        actions.hang_as_told(EVERYTHING, make_asset(place.client), now=START)


def test_words_of_a_silent_device_count_for_a_week() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    fresh = [Link("route", "10.0.0.9", "eth0", address="10.0.0.1")]
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + timedelta(days=6), links=fresh)
    assert Wire.objects.filter(lower=place.device(3), upper=place.device(2)).exists()
    place.sweep(ROUTER, SWITCH, PRINTER, at=START + timedelta(days=8), links=fresh)
    assert not Wire.objects.filter(lower=place.device(3)).exists()


def test_what_nobody_confirmed_and_nobody_sees_is_forgotten() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    actions.confirm(EVERYTHING, place.device(2), now=START)
    actions.dismiss(EVERYTHING, place.device(1), now=START)
    place.sweep(at=START + timedelta(days=91))
    left = set(Sighting.objects.values_list("address", flat=True))
    assert left == {"10.0.0.1", "10.0.0.2", "10.0.0.9"}, "the printer is forgotten"


def test_a_sweep_of_a_collector_without_a_site_is_left_out() -> None:
    place = Place()
    Collector.objects.update(site=None)
    Asset.objects.filter(pk=place.machine.pk).update(site=None)
    place.sweep(ROUTER)
    assert not Sighting.objects.exists()
    take_sweeps([PlacedSweep(make_client().pk, place.machine.pk, place.collector.pk, 1, "", Sweep())])
    assert not SweepOfSite.objects.exists()


def test_the_map_and_what_nobody_watches() -> None:
    place = Place()
    place.sweep(ROUTER, SWITCH, PRINTER)
    printer = actions.confirm(EVERYTHING, place.device(3), now=START)
    actions.dismiss(EVERYTHING, place.device(1), now=START)
    found = queries.map_of(EVERYTHING, place.site)
    assert {one.address for one in found.devices.values()} == {f"10.0.0.{number}" for number in (1, 2, 3, 9)}
    assert found.above[place.device(3).pk].upper_id == place.device(2).pk
    assert [one.name for one in queries.unwatched(EVERYTHING, place.client.pk)] == ["printer"]
    archive_asset(EVERYTHING, printer)
    assert queries.unwatched(EVERYTHING, place.client.pk) == []


def test_ranges_are_networks() -> None:
    site: Site = make_site(make_client())
    actions.declare_ranges(EVERYTHING, site, ["10.0.0.0/24", "10.0.1.7"])
    assert Site.objects.get(pk=site.pk).ranges[0] == "10.0.0.0/24"
    with pytest.raises(Trouble):
        actions.declare_ranges(EVERYTHING, site, ["everything"])
