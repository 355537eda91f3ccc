"""Agreements as rows: versions that cannot overlap, counts by name with since when, billed and watched."""

from datetime import date

import pytest

from billing_seed import BUYER, NOW, START, agree, at, contact, device, seat_item, signed_rates, terms
from estate_factories import EVERYTHING, make_client, make_site
from forestall.agreements import queries
from forestall.agreements.actions import add_tax_table, add_version, end_agreement
from forestall.agreements.calendar import Month
from forestall.agreements.checks import Wrong
from forestall.agreements.counting import as_of, frozen, joined_and_left, thawed, things_of
from forestall.agreements.models import Agreement
from forestall.agreements.values import Basis, Bill, Item, LateFee, Life, Rate, Tier, Uplift, UpliftKind
from forestall.estate.actions import add_probe
from forestall.estate.amending import remove_contact

pytestmark = pytest.mark.django_db
OCT, NOV = Month(2026, 10), Month(2026, 11)


def test_terms_are_stored_and_read_as_they_were() -> None:
    agreed = terms(
        seat_item(tiers=(Tier(5, 100), Tier(None, 90))), late_fee=LateFee(10, 4000, 50),
        uplift=Uplift(UpliftKind.CPI, floor=300),
    )  # fmt: skip
    row = agree(make_client(), agreed)
    assert queries.terms_by_agreement(EVERYTHING, [row], NOV) == {row.pk: agreed}
    assert row.number == "AGR-0001" and agree(make_client()).number == "AGR-0002"


def test_versions_hold_from_their_day_and_cannot_overlap() -> None:
    row, dearer = agree(make_client()), terms(seat_item(price_minor=9900))
    add_version(EVERYTHING, row, from_on=date(2026, 11, 1), terms=dearer, now=NOW)
    assert queries.terms_by_agreement(EVERYTHING, [row], OCT)[row.pk].items[0].price_minor == 9500
    assert queries.terms_by_agreement(EVERYTHING, [row], NOV)[row.pk].items[0].price_minor == 9900
    for day in (date(2026, 11, 1), date(2026, 12, 9), START, None):
        with pytest.raises(Wrong) as caught:
            add_version(EVERYTHING, row, from_on=day, terms=dearer, now=NOW)
        assert set(caught.value.fields) == {"from_on"}
    Agreement.objects.filter(pk=row.pk).update(billed_through=date(2026, 12, 31))
    with pytest.raises(Wrong, match="billed up to"):
        add_version(EVERYTHING, row, from_on=date(2026, 12, 1), terms=dearer, now=NOW)
    with pytest.raises(Wrong, match="billed up to"):
        end_agreement(EVERYTHING, row, on=date(2026, 11, 30), now=NOW)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"starts_on": None}, "starts_on"),
        ({"ends_on": date(2025, 1, 1)}, "ends_on"),
        ({"name": " "}, "name"),
        ({"email": "nobody"}, "email"),
        ({"buyer": BUYER | {"buyer_vat": "DE136695977"}}, "buyer_vat"),
        ({"buyer": BUYER | {"buyer_country": "XX"}}, "buyer_country"),
        ({"buyer": BUYER | {"buyer_city": ""}}, "buyer_city"),
        ({"terms": terms(seat_item(price_minor=0))}, "items.0.price"),
        ({"terms": terms(seat_item(tax=""))}, "items.0.tax"),
        ({"terms": terms(seat_item(tiers=(Tier(5, 1), Tier(3, 1))))}, "items.0.tiers"),
        ({"terms": terms(seat_item(), seat_item())}, "items"),
        ({"terms": terms(currency="EUX")}, "currency"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_made(given: dict[str, object], field: str) -> None:
    with pytest.raises(Wrong) as caught:
        agree(make_client(), **given)  # type: ignore[arg-type]
    assert field in caught.value.fields
    assert not Agreement.objects.exists()


def test_counts_know_who_joined_and_who_left_by_name() -> None:
    client = make_client(timezone="Europe/Berlin")
    site = make_site(client)
    ana, gone = contact(client, "Ana B.", date(2026, 10, 4)), contact(client, "Tom K.", date(2026, 3, 1))
    device(client, "srv-1", date(2026, 1, 5))
    device(client, "srv-0", date(2026, 1, 5), gone=date(2026, 10, 20))
    remove_contact(EVERYTHING, gone)
    things = things_of(EVERYTHING, [client])[client.pk]
    tom = next(one for one in things if one.name == "Tom K.")
    assert tom.since == date(2026, 3, 1) and tom.until is not None
    was = as_of(things, day=date(2026, 10, 1), window=date(2026, 9, 1))
    now = as_of(things, day=date(2026, 11, 1), window=date(2026, 10, 1))
    assert {one.name for one in was.things} == {"Tom K.", "srv-1", "srv-0"}
    changes = joined_and_left(was, now)
    assert [one.id for one in changes[Basis.SEAT][0]] == [ana.pk]
    assert [(one.name, one.until) for one in changes[Basis.DEVICE][1]] == [("srv-0", date(2026, 10, 20))]
    text, digest = frozen(now)
    assert thawed(text) == now and len(digest) == 64
    assert site.pk in {one.id for one in things}


def test_a_draft_is_tried_against_the_last_months() -> None:
    signed_rates()
    client = make_client()
    contact(client, "Ana B.", date(2026, 2, 4))
    contact(client, "Tom K.", date(2026, 5, 1))
    months = [NOV.moved(-back) for back in range(12, 0, -1)]
    found = queries.simulate(EVERYTHING, client, terms(), Life(date(2025, 1, 1)), months)
    nets = [bill.net_minor if isinstance(bill, Bill) else 0 for _, bill in found]
    assert nets == [0, 0, 0, 0, 9500, 9500, 19_000, 19_000, 19_000, 19_000, 19_000, 19_000]


def test_billed_and_not_watched_watched_and_not_billed() -> None:
    client, other = make_client(), make_client()
    agree(client, terms(Item("srv", "Servers", Basis.DEVICE, 100, "standard", kinds=("server",))))
    device(client, "blind", START)
    switch, lonely = device(client, "sw", START, kind="switch"), device(other, "free", START)
    for asset in (switch, lonely):
        add_probe(EVERYTHING, asset=asset, kind="icmp", target="10.0.0.1")
    found = {one.name: (one.billed, one.reason) for one in queries.billed_and_watched(EVERYTHING, NOV)}
    assert {name: billed for name, (billed, _) in found.items()} == {
        "blind": True,
        "sw": False,
        "free": False,
    }
    assert "no agreement" in found["free"][1] and "nothing watches" in found["blind"][1]


def test_rates_need_reasons_and_a_signature() -> None:
    with pytest.raises(Wrong, match="say why"):
        add_tax_table(EVERYTHING, version="x", from_on=START, rates=[Rate("e", "E", 0)], now=NOW)
    table = add_tax_table(EVERYTHING, version="x", from_on=START, rates=[Rate("s", "S", 1900)], now=NOW)
    assert not queries.rates_on(EVERYTHING, NOV.first).signed_by and table.signed_by == ""
    assert at(START).year == 2026
