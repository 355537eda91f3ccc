"""A year of a provider as business rows, with books of its own: what economics must agree with.

Estate, issued documents, tickets, effort and alerts are written straight into their tables; they do not come
over the road of observations. The generator adds up what it writes while it writes it, in its own way (whole
minutes by client and month, fees by client and month), and knows which clients lose money and why, because it
put the reason there.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import msgspec
from django.db import transaction

from forestall.agreements.calendar import Month, month_of
from forestall.agreements.models import Agreement, TermsVersion
from forestall.agreements.money import RULE
from forestall.agreements.values import Basis, Item, Line, Terms
from forestall.alerts.models import Alert
from forestall.economics.actions import add_price, add_rate, add_tool
from forestall.estate.models import Asset, Client, Person
from forestall.estate.tenancy import system_scope
from forestall.findings.models import Finding
from forestall.invoices.models import Invoice
from forestall.invoices.values import Content, Kind, Look, Party, digest, to_text
from forestall.tickets.models import Effort, Entry, Link, Ticket

SCOPE = system_scope("simulation")
CURRENCY = "EUR"
FEE_PER_DEVICE = 6_500
LOW_FEE = 2_400
RATES = {"": 4_800, "out_of_hours": 7_200}  # minor units an hour, by class
PRICE = 11_500
TOOL = 450  # per device and month
KINDS = ("workstation", "workstation", "workstation", "server", "switch", "firewall", "printer")
RULES = ("disk-full", "service-down", "certificate-expiry", "memory-pressure")
NOISY = "bandwidth-spike"
OLD_KIND = "storage"
PARTY = Party("Northgate Managed IT", "Kai 12", "20457", "Hamburg", "DE")


@dataclass
class Books:
    """What the generator wrote: (client, month) → fee, minutes, cost and tools in minor units."""

    clients: dict[str, str] = field(default_factory=dict)  # identifier → name
    fees: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    once: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    minutes: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    reactive: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    cost_x60: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    tools: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    unlogged: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    alerts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    acted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    planted: dict[str, tuple[str, str]] = field(default_factory=dict)  # client → (what, key)


@dataclass
class _Rows:
    tickets: list[Ticket] = field(default_factory=list)
    efforts: list[Effort] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)


class YearOfProvider:
    """Writes `months` months that end with `last`. `planted`: place of a client → its reason to lose."""

    def __init__(self, seed: int, *, clients: int, last: Month, months: int = 12) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation, seeded
        self.months = [last.moved(step) for step in range(1 - months, 1)]
        self.count, self.last = clients, last
        self.books, self.rows, self.number = Books(), _Rows(), 0
        self.planted = {7 % clients: ("kind", OLD_KIND), 23 % clients: ("rule", NOISY)}

    @transaction.atomic
    def write(self, planted: dict[int, tuple[str, str]] | None = None) -> Books:
        """All rows, and the books of them."""
        self.planted = self.planted if planted is None else planted
        began = datetime.combine(self.months[0].first, time(), UTC)
        self._enter_costs(began)
        self.people = [
            Person.objects.create(
                email=f"tech{one}@simulated.example", name=f"Technician {one}", role="technician"
            )
            for one in range(4)
        ]
        for place in range(self.count):
            self._client(place, began)
        rows = self.rows
        for model, made in (
            (Finding, rows.findings),
            (Alert, rows.alerts),
            (Ticket, rows.tickets),
            (Link, rows.links),
            (Effort, rows.efforts),
            (Entry, rows.entries),
            (Invoice, rows.invoices),
        ):
            model._default_manager.bulk_create(made, batch_size=500)  # type: ignore[arg-type]
        through = Alert.findings.through
        through._default_manager.bulk_create(
            [
                through(alert_id=alert.pk, finding_id=finding.pk)
                for alert, finding in zip(rows.alerts, rows.findings, strict=True)
            ],
            batch_size=500,
        )
        return self.books

    def _enter_costs(self, began: datetime) -> None:
        first = began.date()
        for cost_class, minor in RATES.items():
            add_rate(
                SCOPE,
                person="",
                cost_class=cost_class,
                from_on=first,
                per_hour_minor=minor,
                currency=CURRENCY,
                now=began,
            )
        add_price(SCOPE, from_on=first, per_hour_minor=PRICE, currency=CURRENCY, now=began)
        add_tool(
            SCOPE,
            name="Endpoint protection",
            basis="device",
            kinds=(),
            from_on=first,
            per_month_minor=TOOL,
            currency=CURRENCY,
            now=began,
        )

    def _client(self, place: int, began: datetime) -> None:
        what, key = self.planted.get(place, ("", ""))
        client = Client.objects.create(name=f"Client {place + 1:03d} Ltd")
        self.books.clients[client.pk] = client.name
        if what:
            self.books.planted[client.pk] = (what, key)
        kinds = [*self.random.choices(KINDS, k=self.random.randint(8, 24)), "server", OLD_KIND]
        assets = Asset.objects.bulk_create(
            [Asset(client=client, name=f"{kind}-{number}", kind=kind) for number, kind in enumerate(kinds)]
        )
        Asset.objects.filter(client=client).update(created_at=began - timedelta(days=40))
        agreement = self._agreement(client, place)
        for month in self.months:
            self._invoice(
                client, agreement, month, len(assets), LOW_FEE if what == "price" else FEE_PER_DEVICE
            )
            self.books.tools[client.pk, str(month)] += TOOL * len(assets)
            for asset in self.random.choices(assets, k=len(assets) // 5):
                self._ticket(client, month, asset, minutes=self.random.randint(10, 60))
            for asset in self.random.choices(assets, k=len(assets) // 8):
                self._alerted(
                    client, month, asset, self.random.choice(RULES), acts=self.random.random() < 0.8
                )
            if what == "kind":
                old = next(one for one in assets if one.kind == key)
                for _ in range(10):
                    self._ticket(client, month, old, minutes=self.random.randint(170, 240))
            if what == "rule":
                server = next(one for one in assets if one.kind == "server")
                for _ in range(60):
                    self._alerted(client, month, server, key, acts=False, minutes=self.random.randint(25, 45))

    def _agreement(self, client: Client, place: int) -> Agreement:
        start = self.months[0].first
        ends = self.last.moved(3).last if place % 5 == 3 else None
        agreement = Agreement.objects.create(
            client=client,
            number=f"A-{place + 1:05d}",
            name="Complete care",
            starts_on=start,
            ends_on=ends,
            buyer_name=client.name,
            buyer_street="Road 1",
            buyer_postcode="20457",
            buyer_city="Hamburg",
            buyer_country="DE",
            made_at=self._at(start, 9),
            made_by=SCOPE.actor,
        )
        item = Item("care", "Complete care", Basis.DEVICE, FEE_PER_DEVICE, "standard")
        TermsVersion.objects.create(
            client=client,
            agreement=agreement,
            from_on=start,
            terms=msgspec.to_builtins(Terms(currency=CURRENCY, items=(item,), priced_at=start)),
            made_at=self._at(start, 9),
            made_by=SCOPE.actor,
        )
        return agreement

    def _invoice(self, client: Client, agreement: Agreement, month: Month, count: int, price: int) -> None:
        lines = [("care", count, price)]
        if month == self.months[0]:
            lines.append(("setup", 1, 49_900))
        made = tuple(
            Line(key, key, "", quantity, each, quantity * each, "standard", "S", 0)
            for key, quantity, each in lines
        )
        net = sum(line.amount_minor for line in made)
        self._document(client, agreement, month, Kind.INVOICE, made, net)
        self.books.fees[client.pk, str(month)] += count * price
        self.books.once[client.pk, str(month)] += net - count * price
        if self.random.random() < 0.05:  # a part is taken back
            back = Line("care", "care", "", 1, price, price, "standard", "S", 0)
            self._document(client, agreement, month, Kind.CREDIT, (back,), price)
            self.books.fees[client.pk, str(month)] -= price

    def _document(
        self,
        client: Client,
        agreement: Agreement,
        month: Month,
        kind: Kind,
        lines: tuple[Line, ...],
        net: int,
    ) -> None:
        self.number += 1
        content = Content(
            kind,
            f"S-{self.number:06d}",
            month.first,
            month.last,
            month.first,
            month.last,
            CURRENCY,
            "en",
            PARTY,
            PARTY,
            "",
            "",
            agreement.number,
            agreement.name,
            "",
            lines,
            (),
            net,
            0,
            net,
            RULE,
            Look(),
        )
        text = to_text(content)
        self.rows.invoices.append(
            Invoice(
                client=client,
                agreement=agreement,
                kind=kind,
                period=str(month),
                series="S",
                index=self.number,
                number=content.number,
                issued_on=month.first,
                due_on=month.last,
                currency=CURRENCY,
                net_minor=net,
                tax_minor=0,
                total_minor=net,
                open_minor=0,
                content=text,
                content_sha256=digest(text),
                sealed=True,
            )
        )

    def _ticket(
        self, client: Client, month: Month, asset: Asset, *, minutes: int, came_by: str = ""
    ) -> Ticket:
        """A ticket on which somebody worked; one in twenty without logging it."""
        at = self._at(month.first + timedelta(days=self.random.randrange(27)), self.random.randrange(7, 19))
        came = came_by or self.random.choice(("mail", "phone", "portal", "recurring"))
        ticket = Ticket(
            number=len(self.rows.tickets) + 1_000_000,
            client=client,
            asset=asset,
            came_by=came,
            title=f"{asset.name}: work",
            status="closed",
            opened_at=at,
            changed_at=at,
            closed_at=at,
            touched_at=at,
        )
        self.rows.tickets.append(ticket)
        place = (client.pk, str(month))
        if self.random.random() < 0.05:
            self.books.unlogged[place] += 1
            return ticket
        cost_class = "out_of_hours" if self.random.random() < 0.06 else "remote"
        self.rows.efforts.append(
            Effort(
                client=client,
                ticket=ticket,
                person=self.random.choice(self.people),
                started_at=at,
                ended_at=at + timedelta(minutes=minutes),
                cost_class=cost_class,
            )
        )
        self.books.minutes[place] += minutes
        self.books.reactive[place] += minutes if came != "recurring" else 0
        self.books.cost_x60[place] += minutes * RATES["out_of_hours" if cost_class == "out_of_hours" else ""]
        return ticket

    def _alerted(
        self, client: Client, month: Month, asset: Asset, rule: str, *, acts: bool, minutes: int = 20
    ) -> None:
        ticket = self._ticket(client, month, asset, minutes=minutes, came_by="alert")
        at, place = ticket.opened_at, len(self.rows.alerts)
        finding = Finding(
            client=client,
            asset=asset,
            rule=rule,
            item=str(place),
            pack="simulated",
            pack_version="1",
            state="breaking",
            worst="breaking",
            concern=3,
            began_at=at,
            opened_at=at,
            changed_at=at,
            ended_at=at,
            reason="simulated",
        )
        alert = Alert(
            client=client,
            asset=asset,
            cause_key=f"simulated {place}",
            state="recovered",
            severity="breaking",
            concern=3,
            title=ticket.title,
            reason="simulated",
            opened_at=at,
            tell_at=at,
            told_at=at,
            recovered_at=at,
        )
        self.rows.findings.append(finding)
        self.rows.alerts.append(alert)
        self.rows.links.append(
            Link(client=client, ticket=ticket, alert=alert, occurrence=1, at=at, recovered_at=at)
        )
        self.books.alerts[rule] += 1
        if acts:
            self.rows.entries.append(
                Entry(client=client, ticket=ticket, at=at, actor="technician", kind="note", text="Mended.")
            )
            self.books.acted[rule] += 1

    def _at(self, day: date, hour: int) -> datetime:
        return datetime.combine(day, time(hour), UTC)


def months_of_year(last: date) -> Iterator[Month]:
    """The twelve months that end with that of `last`."""
    yield from (month_of(last).moved(step) for step in range(-11, 1))
