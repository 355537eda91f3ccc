"""The example clients of `up --demo` have networks with everything that a first look should show."""

import pytest

from forestall.configs.matching import Needle
from forestall.configs.models import Change, Configuration
from forestall.configs.searching import Where, search
from forestall.estate.models import Asset, Client, Site
from forestall.estate.tenancy import system_scope
from forestall.networks.queries import list_sightings, map_of
from forestall.processes.demo import CLIENTS, ensure_demo

pytestmark = pytest.mark.django_db


def test_each_example_client_has_a_map_proposals_and_versions() -> None:
    ensure_demo()
    ensure_demo()  # once is enough
    scope = system_scope("test")
    assert Client.objects.filter(assets__name="sw-1").count() == CLIENTS
    for site in Site.objects.filter(assets__name="sw-1"):
        found = map_of(scope, site)
        names = {one.title for one in found.devices.values()}
        assert {"fw-1", "sw-1", "sw-2", "srv-files", "srv-app", "nas-old", "pc-1"} <= names
        assert [one.blocked for one in found.wires if not one.tree] == [True]
        assert len(list_sightings(scope, site=site.pk, state="waiting")) == 8
        hung = dict(Asset.objects.filter(client=site.client_id).values_list("name", "parent__name"))
        assert (hung["sw-1"], hung["sw-2"], hung["srv-app"]) == ("fw-1", "sw-1", "fw-1")
    assert Configuration.objects.count() == 2 * CLIENTS
    last = Change.objects.filter(asset__name="sw-1").order_by("-at").first()
    assert last is not None and last.summary == "transport input ssh → telnet ssh"
    assert last.named and last.named[0].startswith("j.miller from 10.2")
    assert search(scope, Needle("transport input telnet"), Where()).matched == CLIENTS
