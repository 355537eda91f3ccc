"""The number of questions that a page asks the database does not grow with what it shows."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import console_seed
from console_pages import filled, page_addresses
from console_seed import Seeded
from estate_factories import START, make_asset, make_client, make_person
from forestall.estate.models import Asset, Client
from forestall.estate.values import Role
from forestall.judge.values import State
from forestall.tickets.actions import open_by_hand
from road_factories import Road, transition

pytestmark = pytest.mark.django_db

PAGES = page_addresses()
FEW, MANY = 10, 200


@pytest.fixture
def seeded() -> Seeded:
    return console_seed.fill(timezone.now(), clients=2)


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    browser.force_login(make_person(role=Role.OWNER))
    yield browser


def grow(seeded: Seeded, count: int) -> None:
    """More assets, of that client and of others, each with a finding; some with a ticket of their own."""
    from estate_factories import EVERYTHING

    home = Client.objects.get(pk=seeded.ids["client"])
    parent = Asset.objects.get(pk=seeded.ids["asset"])
    assets = [make_asset(home, parent=parent if number % 3 else None) for number in range(count // 2)]
    assets += [make_asset(make_client()) for _ in range(count - count // 2)]
    road = Road()
    road.feed(
        *[
            transition(asset, State.DRIFTING, rule="disk-full", at=START, tells=False, reason="It fills up.")
            for asset in assets
        ]
    )
    for asset in assets[:: max(1, count // 20)]:
        open_by_hand(EVERYTHING, client=asset.client_id, title="Look", asset=asset.pk, now=START)


def asked(browser: Browser, address: str) -> list[str]:
    browser.get(address)  # what is read once and kept
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert browser.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def test_pages_ask_as_often_for_many_as_for_few(seeded: Seeded, browser: Browser) -> None:
    addresses = {name: filled(address, seeded.ids) for name, address in PAGES.items()}
    grow(seeded, FEW)
    few = {name: asked(browser, address) for name, address in addresses.items()}
    grow(seeded, MANY - FEW)
    grown = {}
    for name, address in addresses.items():
        many = asked(browser, address)
        if len(many) > len(few[name]):
            grown[name] = (len(few[name]), len(many), many[-1][:200])
    assert not grown, grown
    assert max(len(queries) for queries in few.values()) <= 40, {n: len(q) for n, q in few.items()}
