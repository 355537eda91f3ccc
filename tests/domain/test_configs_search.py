"""Search in configurations: what a plain look at every text finds, at any instant, for whoever may see it."""

import random
from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.configs.actions import store_snapshot, text_of
from forestall.configs.matching import Needle
from forestall.configs.models import Content, Version
from forestall.configs.searching import Where, list_kinds, list_places, search
from forestall.configs.texts import read_texts
from forestall.estate.models import Asset, Tag
from forestall.estate.tenancy import NOBODY
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot

pytestmark = pytest.mark.django_db


def capture(asset: Asset, text: str, *, minute: int = 0, kind: str = "running-config") -> None:
    at = START + timedelta(minutes=minute)
    store_snapshot(asset.client_id, asset.pk, Snapshot(to_ms(at), kind, text), now=START + timedelta(days=9))


def test_at_every_instant_it_finds_what_a_look_at_every_text_finds() -> None:
    rng = random.Random(3)
    assets = [make_asset() for _ in range(6)]
    words = [f"word-{number}" for number in range(12)]
    held = {asset.pk: list(rng.choices(words, k=30)) for asset in assets}
    for minute in range(20):
        for asset in rng.sample(assets, 3):
            held[asset.pk][rng.randrange(30)] = rng.choice(words)
            capture(asset, "\n".join(held[asset.pk]), minute=minute)
    for minute in (-1, 0, 7, 13, 30):
        at = START + timedelta(minutes=minute)
        for word in words[:5]:
            expected = set()
            for asset in assets:
                then = Version.objects.filter(asset=asset, captured_at__lte=at).order_by("-number").first()
                if then is not None and word in text_of(then).split("\n"):
                    expected.add(asset.pk)
            found = search(EVERYTHING, Needle(f"^{word}$", "re"), Where(at=at))
            assert {hit.place.asset for hit in found.hits} == expected
            assert found.matched == len(expected) and found.complete
    now = search(EVERYTHING, Needle("word"), Where())
    assert {hit.place.version for hit in now.hits} == {
        asset.configurations.get().newest_id for asset in assets
    }


def test_lines_come_with_their_place_and_what_stands_around_them() -> None:
    asset = make_asset()
    capture(asset, "hostname a\nline con 0\nline vty 0 4\n transport input telnet\n login\nend\n")
    (hit,) = search(EVERYTHING, Needle("telnet"), Where()).hits
    (line,) = hit.lines
    assert (line.number, line.text, line.path) == (4, " transport input telnet", ("line vty 0 4",))
    assert line.before == ("line con 0", "line vty 0 4") and line.after == (" login", "end")


def test_which_devices_have_it_not() -> None:
    client = make_client()
    one, two = make_asset(client), make_asset(client)
    capture(one, "ntp server a\n")
    capture(one, "nothing\n", kind="startup-config")
    capture(two, "nothing\n")
    found = search(scope_for(client), Needle("ntp", "starts"), Where(), absent=True)
    assert {hit.place.asset for hit in found.hits} == {two.pk} and found.assets == 1
    start = search(scope_for(client), Needle("ntp"), Where(kind="startup-*"), absent=True)
    assert {hit.place.asset for hit in start.hits} == {one.pk}


def test_filters_scope_and_pages() -> None:
    client, other = make_client(), make_client()
    assets = [make_asset(client, kind="firewall") for _ in range(5)]
    assets[0].tags.add(Tag.objects.create(client=client, name="pci"))
    for asset in [*assets, make_asset(other)]:
        capture(asset, "permit any\n")
    mine = scope_for(client)
    assert search(mine, Needle("permit"), Where()).matched == 5
    assert search(mine, Needle("permit"), Where(client=other.pk)).matched == 0
    assert search(NOBODY, Needle("permit"), Where()).total == 0
    assert search(mine, Needle("permit"), Where(tag="pci")).matched == 1
    assert search(mine, Needle("permit"), Where(asset_kind="switch")).matched == 0
    first = search(mine, Needle("permit"), Where(), limit=3)
    rest = search(mine, Needle("permit"), Where(), start=first.next or 0, limit=3)
    assert [len(first.hits), len(rest.hits), rest.next] == [3, 2, None]
    assert list_kinds(mine) == ["running-config"] and list_kinds(NOBODY) == []
    assets[1].archived_at = START + timedelta(days=1)
    assets[1].save()
    assert len(list_places(mine, Where())) == 4
    assert len(list_places(mine, Where(at=START + timedelta(hours=1)))) == 5


def test_a_damaged_text_is_said_and_left_out_of_a_search() -> None:
    asset = make_asset()
    capture(asset, "one\n")
    version = Version.objects.get(asset=asset)
    Content.objects.filter(pk=version.content_id).update(compressed=b"\x00broken")
    assert list(read_texts([version.content_id])) == []
    found = search(EVERYTHING, Needle("one"), Where())
    assert (found.looked, found.total, found.complete) == (0, 1, False)
    with pytest.raises(Trouble, match="is damaged"):
        text_of(Version.objects.get(asset=asset))
