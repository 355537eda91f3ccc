"""Enrolment: a token opens once, for its client, for fifteen minutes; a machine has one agent."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from estate_factories import EVERYTHING, make_asset, make_client, make_site, scope_for
from forestall.estate import enrolment
from forestall.estate.enrolment import NotEnrolled
from forestall.estate.models import Asset, Client, Collector, EnrolmentToken, Probe
from forestall.journal.models import Entry

pytestmark = pytest.mark.django_db


def enrol(secret: str, *, now: datetime | None = None, **more: Any) -> enrolment.KnownCollector:
    said: dict[str, Any] = {
        "public_key": b"k" * 32,
        "hostname": "srv1",
        "platform": "Linux 6.1",
        "version": "0.1",
        "addresses": ["10.0.0.5"],
    }
    return enrolment.enrol_collector(secret, now=now or timezone.now(), **(said | more))


def token_for(client: Client, **more: Any) -> str:
    return enrolment.make_enrolment_token(EVERYTHING, client=client.pk, **more)[1]


def test_a_token_can_be_given_on_a_command_line() -> None:
    """One that begins with a dash would be taken for an option."""
    client = make_client()
    secrets = [token_for(client) for _ in range(100)]
    assert all(secret.isalnum() and len(secret) >= 32 for secret in secrets)


def test_a_token_makes_a_collector_and_its_asset_once() -> None:
    client = make_client()
    site = make_site(client, ranges=["10.0.0.0/8"])
    secret = token_for(client, site=site.pk)
    known = enrol(secret, kind="workstation", peer="10.0.0.5")
    asset = Asset.objects.get(pk=known.asset)
    assert (asset.client, asset.site, asset.name, asset.kind) == (client, site, "srv1", "workstation")
    assert asset.addresses == ["10.0.0.5"]
    assert enrolment.find_collector(known.id) == known
    assert enrolment.work_of(known.id) == {
        "ranges": ["10.0.0.0/8"], "probes": [], "now": {}, "backups": [],
    }  # fmt: skip
    with pytest.raises(NotEnrolled, match="was used"):
        enrol(secret)
    assert Collector.objects.count() == 1
    assert Entry.objects.filter(kind="collector.enrolled", subject=known.id).count() == 1


def test_the_secret_is_nowhere_in_the_database() -> None:
    secret = token_for(make_client())
    row = EnrolmentToken.objects.get()
    assert secret not in str([getattr(row, field.attname) for field in row._meta.concrete_fields])


def test_a_token_that_is_old_unknown_or_of_something_archived_opens_nothing() -> None:
    client = make_client()
    asset = make_asset(client)
    secret = token_for(client, asset=asset.pk)
    with pytest.raises(NotEnrolled, match="not known"):
        enrol("something else")
    with pytest.raises(NotEnrolled, match="15 minutes"):
        enrol(secret, now=timezone.now() + timedelta(minutes=15, seconds=1))
    Asset.objects.filter(pk=asset.pk).update(archived_at=timezone.now())
    with pytest.raises(NotEnrolled, match="archived"):
        enrol(secret)
    assert not Collector.objects.exists()
    assert EnrolmentToken.objects.get().used_at is None


def test_tokens_are_made_only_for_what_the_maker_sees() -> None:
    own, other = make_client(), make_client()
    for more in ({"client": other.pk}, {"client": own.pk, "asset": make_asset(other).pk}):
        with pytest.raises(LookupError):
            enrolment.make_enrolment_token(scope_for(own), **more)


def test_machines_of_one_name_get_names_of_their_own() -> None:
    client = make_client()
    names = {Asset.objects.get(pk=enrol(token_for(client)).asset).name for _ in range(3)}
    assert names == {"srv1", "srv1 2", "srv1 3"}


def test_enrolling_a_machine_again_replaces_its_agent() -> None:
    client = make_client()
    first = enrol(token_for(client))
    probe = Probe.objects.create(
        client=client, asset_id=first.asset, collector_id=first.id, kind="tcp", target="10.0.0.9:22"
    )
    second = enrol(token_for(client, asset=first.asset), public_key=b"n" * 32)
    assert second.asset == first.asset
    assert enrolment.find_collector(first.id) is None
    probe.refresh_from_db()
    assert probe.collector_id == second.id
    assert [order["id"] for order in enrolment.work_of(second.id)["probes"]] == [probe.pk]


def test_a_machine_cannot_claim_the_address_of_another_client() -> None:
    make_asset(make_client(), addresses=["10.0.0.5"])
    known = enrol(token_for(make_client()), peer="10.0.0.5")
    assert Asset.objects.get(pk=known.asset).addresses == []


def test_what_a_machine_says_of_itself_is_no_address_until_it_was_seen_to_send_from_it() -> None:
    known = enrol(token_for(make_client()))
    asset = Asset.objects.get(pk=known.asset)
    assert (asset.addresses, asset.facts["addresses"]) == ([], ["10.0.0.5"])


def test_a_renewed_key_is_the_only_one() -> None:
    known = enrol(token_for(make_client()))
    enrolment.rotate_key(known.id, public_key=b"r" * 32, now=timezone.now())
    again = enrolment.find_collector(known.id)
    assert again is not None
    assert again.public_key == b"r" * 32


def test_assets_of_another_client_are_not_found() -> None:
    own, other = make_asset(), make_asset()
    assert enrolment.find_assets(own.client_id, [own.pk, other.pk, "nonsense"]) == {own.pk}
