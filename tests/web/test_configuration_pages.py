"""Pages of configurations: search, as of a date, comparing, settings, compliance, baselines."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import make_asset, make_client, make_person
from forestall.configs.actions import store_snapshot
from forestall.configs.models import Configuration, Version
from forestall.estate.models import Asset
from forestall.estate.values import Role
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import Snapshot
from one_line import one_line

pytestmark = pytest.mark.django_db
OLD = (
    "hostname a\nntp server 10.0.0.1\n"
    + "vlan 1\n" * 12
    + "line vty 0 4\n a\n b\n c\n d\n transport input telnet\n"
)
NEW = OLD.replace("telnet", "ssh")


@pytest.fixture
def owner() -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=Role.OWNER))
    return browser


def capture(asset: Asset, text: str, *, hours_ago: int) -> Version:
    now = timezone.now()
    at = now - timedelta(hours=hours_ago)
    stored = store_snapshot(asset.client_id, asset.pk, Snapshot(to_ms(at), "running", text), now=now)
    assert stored.version is not None
    return stored.version


@pytest.fixture
def page(owner: Browser) -> Callable[..., str]:
    def read(address: str, **given: str) -> str:
        answer = owner.get(address, given)
        assert answer.status_code == 200
        return one_line(answer)

    return read


def test_a_search_says_how_many_and_where_and_its_mistakes(page: Callable[..., str]) -> None:
    asset = make_asset(make_client(), kind="switch")
    capture(asset, OLD, hours_ago=5)
    version = capture(asset, NEW, hours_ago=1)
    text = page("/configurations/", q="transport input")
    assert "1 configuration of 1 asset" in text and "line vty 0 4" in text
    assert f"/versions/{version.pk}/#l20" in text
    then = (timezone.now() - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    assert "input telnet" in page("/configurations/", q="telnet", at=then)
    assert "0 configurations" in page("/configurations/", q="telnet")
    assert "devices that do" in page("/configurations/", q="nowhere", absent="1")
    assert "no regular expression" in page("/configurations/", q="(", mode="re")
    assert "is no time" in page("/configurations/", q="a", at="yesterday")
    assert "Write a word of the line" in page("/configurations/", q=" ")


def test_a_configuration_as_of_a_date(page: Callable[..., str]) -> None:
    asset = make_asset(kind="switch")
    capture(asset, OLD, hours_ago=5)
    capture(asset, NEW, hours_ago=1)
    address = f"/assets/{asset.pk}/configurations/"
    at = [(timezone.now() - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M") for hours in (2, 9)]
    assert "transport input ssh" in page(address) and "Version 2" in page(address)
    assert "transport input telnet</td>" in page(address, kind="running", at=at[0])
    assert "was not captured yet at that time" in page(address, at=at[1])
    assert "is no time" in page(address, at="x")


def test_two_versions_in_one_column_and_in_two(page: Callable[..., str], owner: Browser) -> None:
    asset = make_asset(kind="switch")
    first, second = capture(asset, OLD, hours_ago=5), capture(asset, NEW, hours_ago=1)
    address = f"/versions/{second.pk}/compare"
    assert "lines are the same <b>line vty 0 4</b>" in page(address)
    assert 'class="del"> transport input telnet' in page(address, **{"with": first.pk})
    assert "lines are the same" not in page(address, view="one", all="1")
    assert "They are the same" in page(address, **{"with": second.pk})
    twin = make_asset(asset.client, kind="switch")
    other = capture(twin, NEW, hours_ago=1)
    assert twin.name in page(address) and "They are the same" in page(address, **{"with": other.pk})
    assert owner.get(address, {"with": "0" * 13}).status_code == 404


def test_one_setting_of_all_devices_shows_who_differs(page: Callable[..., str]) -> None:
    client = make_client()
    for number in range(3):
        text = OLD.replace("10.0.0.1", "10.9.9.9") if number == 2 else OLD
        capture(make_asset(client, kind="switch"), text, hours_ago=1)
    text = page(f"/clients/{client.pk}/settings/", q="ntp server")
    assert "2 of 3 say the same" in text and "+ ntp server 10.9.9.9" in text
    assert "Nothing that is captured fits" in page(
        f"/clients/{client.pk}/settings/", q="ntp", asset_kind="ups"
    )
    assert "no regular expression" in page(f"/clients/{client.pk}/settings/", q="(", mode="re")


def test_the_matrix_and_the_asset_say_what_holds_and_what_not(page: Callable[..., str]) -> None:
    asset = make_asset(kind="switch")
    capture(asset, NEW, hours_ago=1)
    judged = {
        "version": 1,
        "held": ["vty-ssh-only"],
        "broken": {"ntp-set": "no time server is set", "gone": "x"},
    }
    Configuration.objects.filter(asset=asset).update(judged=judged)
    text = page(f"/clients/{asset.client_id}/compliance/")
    assert "ntp-set: no time server is set" in text and " holds" in text and "gone" not in text
    text = page(f"/assets/{asset.pk}/configurations/")
    assert "no time server is set" in text and "vty-ssh-only" in text


def test_a_baseline_is_named_with_a_reason_and_taken_away(page: Callable[..., str], owner: Browser) -> None:
    asset = make_asset()
    version = capture(asset, NEW, hours_ago=1)
    place = f"/versions/{version.pk}/baseline"
    assert "needs a reason" in owner.post(f"{place}/name", {"because": " "}, follow=True).content.decode()
    owner.post(f"{place}/name", {"because": "As handed over."})
    assert Configuration.objects.get(asset=asset).baseline_id == version.pk
    text = page(f"/versions/{version.pk}/")
    assert "As handed over." in text and "Baseline</span>" in text
    owner.post(f"{place}/drop")
    assert Configuration.objects.get(asset=asset).baseline_id is None
    reader = Browser()
    reader.force_login(make_person(role=Role.READ_ONLY, clients=(asset.client,)))
    assert reader.post(f"{place}/name", {"because": "Mine."}).status_code == 403
    assert owner.post(f"{place}/elsewhere").status_code == 404
