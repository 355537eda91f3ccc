"""The simulation's reckoning notices what it is there for: missed faults, false alarms, broken promises."""

from datetime import timedelta

import pytest

from estate_factories import START
from forestall.alerts.deliver import deliver_due
from forestall.estate.models import Asset
from forestall.judge.values import State
from forestall.kernel.clock import to_ms
from forestall.processes.demo import put_into_estate
from forestall.processes.reckoning import Told, reckon
from forestall.processes.world import Business, Fault, Injected, Thing
from road_factories import Post, Road, make_channel, transition

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
FAULT = Injected(Fault.HOST_OFF, 0, 1, to_ms(START), to_ms(START + HOUR))


@pytest.fixture
def business() -> Business:
    firewall = Thing("fw-1", "firewall")
    server = Thing("srv", "server", behind=firewall)
    made = Business("Alder Dental", [firewall, server, Thing("srv-web", "service", behind=server)])
    put_into_estate(made, demo=False)
    return made


def asset_of(business: Business, place: int) -> Asset:
    return Asset.objects.get(pk=business.things[place].asset)


def live_through(business: Business, *places: int) -> list[Told]:
    """These assets break at START and are back after an hour; what was told of it."""
    road, post = Road(), Post()
    make_channel()
    assets = [asset_of(business, place) for place in places]
    told: list[Told] = []

    def deliver() -> None:
        before = len(post.sent)
        deliver_due(now=road.now, most=50, send=post)
        told.extend(Told(road.now, message) for message in post.sent[before:])

    road.feed(*[transition(asset) for asset in assets])
    road.wait(10)
    deliver()
    road.wait(3600)
    deliver()
    road.feed(*[transition(asset, State.IN_SPEC, at=road.now, began=START) for asset in assets])
    deliver()
    return told


def test_a_fault_with_its_one_ticket_is_in_order(business):
    reckoned = reckon([business], [FAULT], live_through(business, 1))
    assert (reckoned["unmatched"], reckoned["unexplained"], reckoned["broken"]) == ((), (), ())
    assert (reckoned["faults"], reckoned["tickets"], reckoned["evidence"]) == (1, 1, 1)


def test_a_fault_that_nobody_noticed_is_listed(business):
    (line,) = reckon([business], [FAULT], [])["unmatched"]
    assert "host_off at Alder Dental, srv" in line
    assert "0 tickets" in line


def test_a_ticket_without_a_fault_is_listed(business):
    reckoned = reckon([business], [], live_through(business, 1))
    assert len(reckoned["unexplained"]) == 1


def test_a_ticket_of_another_asset_does_not_count_for_the_fault(business):
    reckoned = reckon([business], [FAULT], live_through(business, 0))
    assert len(reckoned["unmatched"]) == len(reckoned["unexplained"]) == 1


def test_two_tickets_for_one_fault_are_listed(business):
    (line,) = reckon([business], [FAULT], live_through(business, 1, 2))["unmatched"]
    assert "2 tickets" in line


def test_a_recovery_that_was_not_told_is_listed(business):
    told = [one for one in live_through(business, 1) if one.message.step != "recovered"]
    (line,) = reckon([business], [FAULT], told)["broken"]
    assert "its recovery was told 0 times" in line
