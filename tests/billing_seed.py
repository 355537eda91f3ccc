"""A provider that bills: rates that were signed off, agreements, contacts and devices with a past."""

from datetime import UTC, date, datetime, time
from typing import Any

from estate_factories import EVERYTHING, make_asset, make_client
from forestall.agreements.actions import add_agreement, add_tax_table, sign_tax_table
from forestall.agreements.models import Agreement
from forestall.agreements.values import Basis, Item, Proration, Rate, Terms
from forestall.estate.models import Asset, Client, Contact
from forestall.invoices.models import Run
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import EPOCH_MS, RANDOM_BITS, from_number

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
START = date(2026, 1, 1)
BUYER = {
    "buyer_name": "Harbor Credit Union",
    "buyer_street": "14 Pier Road",
    "buyer_postcode": "20459",
    "buyer_city": "Hamburg",
    "buyer_country": "DE",
    "buyer_vat": "DE136695976",
    "language": "en",
}
RATES = [Rate("standard", "S", 1900), Rate("reduced", "S", 700), Rate("exempt", "E", 0, "Insurance, exempt")]
_serial = iter(range(1, 1 << RANDOM_BITS))


def at(day: date, hour: int = 9) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def contact(client: Client, name: str, since: date) -> Contact:
    """A contact that was added on that day: its identifier holds the time."""
    number = ((to_ms(at(since)) - EPOCH_MS) << RANDOM_BITS) | next(_serial)
    return Contact.objects.create(id=from_number(number), client=client, name=name)


def device(
    client: Client, name: str, since: date, *, kind: str = "server", gone: date | None = None
) -> Asset:
    asset = make_asset(client, name, kind=kind)
    Asset.objects.filter(pk=asset.pk).update(created_at=at(since), archived_at=at(gone) if gone else None)
    return asset


def signed_rates() -> None:
    table = add_tax_table(EVERYTHING, version="DE 2025", from_on=date(2025, 1, 1), rates=RATES, now=NOW)
    sign_tax_table(EVERYTHING, table, now=NOW)


def seat_item(**more: Any) -> Item:
    return Item(
        **({"key": "care", "name": "Complete care, per user", "basis": Basis.SEAT, "price_minor": 9500,
            "tax": "standard"} | more)
    )  # fmt: skip


def terms(*items: Item, **more: Any) -> Terms:
    return Terms(**({"currency": "EUR", "items": items or (seat_item(),), "priced_at": START} | more))


def agree(client: Client, agreed: Terms | None = None, **more: Any) -> Agreement:
    given: dict[str, Any] = {
        "name": "Complete care", "starts_on": START, "email": "accounts@client.example", "buyer": BUYER,
        "terms": agreed or terms(), "now": NOW,
    } | more  # fmt: skip
    return add_agreement(EVERYTHING, client=client.pk, **given)


def small_provider(clients: int = 3) -> list[Agreement]:
    """Clients with seats, devices, a flat part and two tax rates."""
    signed_rates()
    found = []
    for number in range(clients):
        client = make_client(f"Client {number} Ltd")
        for seat in range(3 + number):
            contact(client, f"Person {seat}", date(2026, 2, 1 + seat))
        contact(client, "Ana B.", date(2026, 10, 4))
        device(client, f"srv-{number}", date(2026, 3, 1))
        found.append(
            agree(
                client,
                terms(
                    seat_item(),
                    Item("servers", "Servers", Basis.DEVICE, 12_050, "standard", kinds=("server",)),
                    Item("insurance", "Insurance", Basis.FLAT, 3_333, "reduced" if number % 2 else "exempt"),
                    proration=Proration.ACTUAL, true_up=True, purchase_order=f"PO {7000 + number}",
                ),
                buyer=BUYER | {"buyer_name": f"Client {number} Ltd"},
            )
        )  # fmt: skip
    return found


SELLER = {
    "name": "Northgate Managed IT", "street": "Kaistraße 12", "postcode": "20457", "city": "Hamburg",
    "country": "DE", "vat": "DE136695976", "registration": "HRB 148 220", "iban": "DE02120300000000202051",
    "email": "billing@provider.example",
}  # fmt: skip


def issued(period: str = "2026-11", *, clients: int = 3) -> Run:
    """A small provider's run, issued."""
    from forestall.invoices.actions import save_seller
    from forestall.invoices.runs import approve, issue, open_run, reckon

    save_seller(EVERYTHING, SELLER, now=NOW)
    small_provider(clients)
    run = open_run(EVERYTHING, period, now=NOW, issue_on=NOW.date())
    reckon(EVERYTHING, run, now=NOW)
    return issue(EVERYTHING, approve(EVERYTHING, run, now=NOW), now=NOW)


def billed(ids: dict[str, str]) -> None:
    """An agreement of that client, and a month that was issued; runs are of all clients."""
    from forestall.agreements.credits import give_credit
    from forestall.agreements.models import TaxTable
    from forestall.invoices.actions import save_seller
    from forestall.invoices.models import Invoice
    from forestall.invoices.runs import approve, issue, open_run, reckon

    client = Client.objects.get(pk=ids["client"])
    if not TaxTable.objects.exists():
        save_seller(EVERYTHING, SELLER, now=NOW)
        signed_rates()
    contact(client, "Ana B.", date(2026, 2, 4))
    first = date(2026, 10, 1) if Run.objects.exists() else date(2026, 11, 1)
    buyer = BUYER | {"buyer_name": client.name}
    row = agree(client, terms(seat_item(minimum=2)), starts_on=first, buyer=buyer)
    run = open_run(EVERYTHING, f"{first:%Y-%m}", now=NOW, issue_on=NOW.date())
    if run.state == "draft":
        reckon(EVERYTHING, run, now=NOW)
        issue(EVERYTHING, approve(EVERYTHING, run, now=NOW), now=NOW)
    given = give_credit(EVERYTHING, row, name="Goodwill", note="a late visit", amount_minor=500, now=NOW)
    ids |= {
        "credit": given.pk,
        "agreement": row.pk,
        "billing": run.pk,
        "tax_table": TaxTable.objects.get().pk,
    }
    if found := Invoice.objects.filter(agreement=row).first():
        ids["invoice"] = found.pk


def reckoned(ids: dict[str, str], now: datetime) -> None:
    """What an hour and a tool cost, and that client's months reckoned; costs are of all clients."""
    from forestall.agreements.calendar import month_of
    from forestall.economics.actions import add_price, add_rate, add_tool, reckon
    from forestall.economics.models import CostRate

    first = date(2026, 1, 1)
    if not CostRate.objects.exists():
        add_rate(EVERYTHING, person="", cost_class="", from_on=first, per_hour_minor=4_800, currency="EUR",
                 now=now)  # fmt: skip
        add_price(EVERYTHING, from_on=first, per_hour_minor=11_500, currency="EUR", now=now)
        add_tool(EVERYTHING, name="Endpoint protection", basis="device", kinds=(), from_on=first,
                 per_month_minor=450, currency="EUR", now=now)  # fmt: skip
    this = month_of(now.date())
    reckon(EVERYTHING, [this.moved(-step) for step in range(4)], now=now)
    ids["reckoned_month"] = str(this.before)
