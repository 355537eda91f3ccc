"""Writes of the estate: checked fields, no reference to another client, a journal entry with each."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from estate_factories import EVERYTHING, make_asset, make_client, make_site, scope_for
from forestall.estate import actions, amending, queries
from forestall.estate.models import Asset, Client, Collector, Probe, Site, Tag
from forestall.estate.tenancy import NOBODY
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db


def test_every_write_has_its_entry_and_falls_with_it() -> None:
    client = actions.add_client(EVERYTHING, name=" Alder  Dental ")
    assert client.name == "Alder Dental"
    site = actions.add_site(EVERYTHING, client=client.pk, name="Here", ranges=["10.0.0.7/24"])
    asset = actions.add_asset(
        EVERYTHING, client=client.pk, name="srv", kind="server", site=site.pk, tags=["hot", "hot", " "]
    )
    contact = actions.add_contact(EVERYTHING, client=client.pk, name="Ada", email=" Ada@Example.org")
    probe = actions.add_probe(EVERYTHING, asset=asset, kind="tcp", target="10.0.0.7:22")
    amending.change_site(EVERYTHING, site, name="There", ranges=[], address="Main street")
    amending.change_contact(EVERYTHING, contact, name="Ada L.", site=site.pk)
    amending.rename_tag(EVERYTHING, Tag.objects.get(), name="warm")
    amending.change_probe(EVERYTHING, probe, enabled=False)
    actions.remove_probe(EVERYTHING, probe)
    amending.remove_tag(EVERYTHING, Tag.objects.get())
    amending.remove_contact(EVERYTHING, contact)
    amending.remove_site(EVERYTHING, site)
    actions.archive_client(EVERYTHING, client)
    kinds = [
        kind.removeprefix("estate.") for kind in Entry.objects.order_by("seq").values_list("kind", flat=True)
    ]
    assert kinds == [
        "client_created", "site_created", "asset_created", "contact_created", "probe_created",
        "site_changed", "contact_changed", "tag_changed", "probe_changed", "probe_removed", "tag_removed",
        "contact_removed", "site_removed", "client_archived",
    ]  # fmt: skip
    asset.refresh_from_db()
    assert asset.archived_at is not None and asset.site is None and not asset.tags.exists()
    with pytest.raises(RuntimeError), transaction.atomic():
        actions.add_client(EVERYTHING, name="Never")
        raise RuntimeError
    assert not Client.objects.filter(name="Never").exists() and len(kinds) == Entry.objects.count()


@pytest.mark.parametrize(
    "write",
    [
        lambda ours, theirs: actions.add_asset(
            EVERYTHING, client=ours.pk, name="x", kind="server", site=make_site(theirs).pk
        ),
        lambda ours, theirs: actions.add_asset(
            EVERYTHING, client=ours.pk, name="x", kind="server", parent=make_asset(theirs).pk
        ),
        lambda ours, theirs: actions.change_asset(
            EVERYTHING, make_asset(ours), name="x", kind="server", parent=make_asset(theirs).pk
        ),
        lambda ours, theirs: actions.add_contact(
            EVERYTHING, client=ours.pk, name="x", site=make_site(theirs).pk
        ),
        lambda ours, theirs: actions.add_probe(
            EVERYTHING, asset=make_asset(ours), kind="tcp", target="x:1", collector=_collector(theirs)
        ),
        lambda ours, theirs: actions.add_site(scope_for(ours), client=theirs.pk, name="x"),
        lambda ours, theirs: actions.add_asset(scope_for(ours), client=theirs.pk, name="x", kind="server"),
        lambda ours, theirs: actions.add_client(scope_for(ours), name="x"),
    ],
)
def test_nothing_refers_to_another_client(write: Callable[[Client, Client], Any]) -> None:
    """Even for somebody who sees both."""
    with pytest.raises(Trouble) as error:
        write(make_client(), make_client())
    assert error.value.remedy


def _collector(client: Client) -> str:
    from django.utils import timezone

    now = timezone.now()
    row = Collector.objects.create(
        client=client, asset=make_asset(client), public_key=b"", key_since=now, enrolled_at=now
    )
    return row.pk


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "toaster"}, "no kind of asset"),
        ({"name": ""}, "1 to 160"),
        ({"name": "x" * 161}, "1 to 160"),
        ({"addresses": ["10.0.0.300", "not a host!"]}, "neither an IP address nor a host name"),
        ({"addresses": [f"10.0.0.{number}" for number in range(101)]}, "at most 100"),
        ({"site": "0000000000000"}, "no such site"),
    ],
)
def test_what_an_asset_cannot_be(fields: dict[str, Any], says: str) -> None:
    client = make_client()
    with pytest.raises(Trouble, match=says):
        actions.add_asset(EVERYTHING, client=client.pk, **{"name": "x", "kind": "server"} | fields)
    assert not Asset.objects.exists() and not Entry.objects.exists()


def test_addresses_are_written_as_usual() -> None:
    given = ["2001:DB8:0::1", " 10.0.0.5", "Srv.Example.org", "10.0.0.5"]
    asset = actions.add_asset(EVERYTHING, client=make_client().pk, name="x", kind="server", addresses=given)
    assert asset.addresses == ["2001:db8::1", "10.0.0.5", "srv.example.org"]


def test_an_asset_never_hangs_on_itself_however_long_the_way() -> None:
    client = make_client()
    chain = [make_asset(client)]
    for _ in range(5):
        chain.append(make_asset(client, parent=chain[-1]))
    with pytest.raises(Trouble, match="hang on itself"):
        actions.change_asset(EVERYTHING, chain[0], name="x", kind="server", parent=chain[-1].pk)
    assert [row.pk for row in queries.parents_of(EVERYTHING, chain[-1])] == [
        row.pk for row in reversed(chain[:-1])
    ]


def test_names_are_taken_once_a_client_and_free_again_after_archiving() -> None:
    client = make_client()
    asset = actions.add_asset(EVERYTHING, client=client.pk, name="srv", kind="server")
    with pytest.raises(Trouble, match="already"):
        actions.add_asset(EVERYTHING, client=client.pk, name="srv", kind="server")
    actions.archive_asset(EVERYTHING, asset)
    actions.add_asset(EVERYTHING, client=client.pk, name="srv", kind="server")
    with pytest.raises(Trouble, match="already"):
        actions.add_client(EVERYTHING, name=client.name)
    make_site(client, "Here")
    with pytest.raises(Trouble, match="already"):
        actions.add_site(EVERYTHING, client=client.pk, name="Here")
    assert Site.objects.count() == 1


def test_what_the_collector_saw_is_not_overwritten_by_an_edit() -> None:
    asset = make_asset()
    Asset.objects.filter(pk=asset.pk).update(facts={"os": "Debian 12"})
    actions.change_asset(EVERYTHING, asset, name="renamed", kind="server")
    asset.refresh_from_db()
    assert (asset.name, asset.facts) == ("renamed", {"os": "Debian 12"})


def test_terms_and_zones_are_real() -> None:
    client = make_client()
    with pytest.raises(Trouble, match="no time zone"):
        actions.add_client(EVERYTHING, name="x", timezone_name="Mars/Olympus")
    with pytest.raises(Trouble, match="1 to 3650 days"):
        actions.change_client(EVERYTHING, client, name=client.name, keep_logs_days=0)
    assert actions.change_client(EVERYTHING, client, name="y", keep_logs_days=30).keep_logs_days == 30


def test_the_tree_holds_everything_once() -> None:
    client = make_client()
    firewall = make_asset(client, "fw")
    server = make_asset(client, "srv", parent=firewall)
    make_asset(client, "db", parent=server)
    make_asset(client, "printer")
    make_asset(make_client(), "elsewhere")

    def names(branches: list[queries.Branch]) -> list[Any]:
        return [(branch.asset.name, names(branch.branches)) for branch in branches]

    whole = [("fw", [("srv", [("db", [])])]), ("printer", [])]
    assert names(queries.tree_of(EVERYTHING, client=client.pk)) == whole
    assert queries.tree_of(scope_for(make_client()), client=client.pk) == []


def test_search_finds_names_and_addresses_of_what_one_sees() -> None:
    client = make_client("Alder Dental")
    make_asset(client, "srv-files", addresses=["10.0.0.5"])
    make_asset(make_client("Birch"), "srv-files", addresses=["10.0.0.5"])
    scope = scope_for(client)
    assert [(one.kind, one.name, one.client) for one in queries.search(scope, "files srv")] == [
        ("asset", "srv-files", "Alder Dental")
    ]
    assert [one.client for one in queries.search(scope, "10.0.0.5")] == ["Alder Dental"]
    assert [one.kind for one in queries.search(scope, "dental")] == ["client"]
    assert list(queries.search(scope, "birch")) == [] == list(queries.search(NOBODY, "srv"))
    assert len(queries.search(EVERYTHING, "srv")) == 2 and not queries.search(EVERYTHING, "  ")


def test_a_probe_is_asked_at_a_bearable_pace() -> None:
    asset = make_asset()
    for interval_s in (0, 4, 7 * 86_400 + 1):
        with pytest.raises(Trouble, match="every 5 s to 7 days"):
            actions.add_probe(EVERYTHING, asset=asset, kind="tcp", target="x:1", interval_s=interval_s)
    probe = actions.add_probe(EVERYTHING, asset=asset, kind="tcp", target=" x:1 ", interval_s=5)
    assert probe.target == "x:1"
    with pytest.raises(Trouble, match="needs a target"):
        amending.change_probe(EVERYTHING, probe, target=" ")
    assert Probe.objects.get().target == "x:1"
