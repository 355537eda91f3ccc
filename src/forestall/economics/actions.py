"""Writes of economics: what hours and tools cost (each with its journal entry), and the reckoned months."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from django.db import IntegrityError, transaction

from forestall.agreements.calendar import Month
from forestall.agreements.money import AMOUNT_MAX, known_currency
from forestall.economics.decide import decide_month
from forestall.economics.gathering import costs_now, gather
from forestall.economics.models import ClientMonth, CostRate, HourlyPrice, RuleMonth, ToolCost, WorkMonth
from forestall.estate.access import Refused
from forestall.estate.models import Client, Person
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.tickets.values import COST_CLASSES

NAME_MAX_CHARS = 160
ROWS_MAX = 2_000
MONTHS_MAX = 36
CLIENTS_AT_ONCE = 200
BASES = {"client": "per client", "seat": "per seat", "device": "per device"}
SUMS = (
    "recurring_minor", "once_minor", "work_minor", "tools_minor", "hourly_minor", "seconds", "reactive_s",
    "out_of_hours_s", "unrated_s", "estimated_s", "estimated_minor", "tickets", "repeats", "endpoint_months",
)  # fmt: skip


def add_rate(
    scope: Scope,
    *,
    person: str,
    cost_class: str,
    from_on: date,
    per_hour_minor: int,
    currency: str,
    now: datetime,
) -> CostRate:
    """What an hour costs from a day on. The amount is not in the journal: many read that. Raises Trouble."""
    _whole(scope)
    if cost_class and cost_class not in COST_CLASSES:
        raise Trouble(f"there is no class {cost_class!r}", f"Classes are {', '.join(COST_CLASSES)}.")
    if person and not Person.objects.filter(pk=person).exists():
        raise Trouble("there is no such person", "Choose one of the list, or nobody for everybody.")
    code = _same_currency(currency, per_hour_minor)
    row = CostRate(
        person_id=person or None, cost_class=cost_class, from_on=from_on, per_hour_minor=per_hour_minor,
        currency=code, made_by=scope.actor, made_at=now,
    )  # fmt: skip
    body = {"person": person, "class": cost_class, "from": str(from_on)}
    _kept(scope, row, "rate_added", body, now)
    return row


def add_price(
    scope: Scope, *, from_on: date, per_hour_minor: int, currency: str, now: datetime
) -> HourlyPrice:
    """What an hour is offered for from a day on. Raises Trouble."""
    _whole(scope)
    code = _same_currency(currency, per_hour_minor)
    row = HourlyPrice(
        from_on=from_on, per_hour_minor=per_hour_minor, currency=code, made_by=scope.actor, made_at=now
    )
    _kept(scope, row, "price_added", {"from": str(from_on), "per_hour_minor": per_hour_minor}, now)
    return row


def add_tool(
    scope: Scope, *, name: str, basis: str, kinds: Sequence[str], from_on: date, per_month_minor: int,
    currency: str, now: datetime, until_on: date | None = None,
) -> ToolCost:  # fmt: skip
    """What a tool costs each month and unit. Raises Trouble."""
    _whole(scope)
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX_CHARS:
        raise Trouble(f"a tool has a name of 1 to {NAME_MAX_CHARS} characters", "Write what it is called.")
    if basis not in BASES:
        raise Trouble(f"a tool is counted by {', '.join(BASES)}", "Choose one of these.")
    unknown = [kind for kind in kinds if kind not in ASSET_KINDS]
    if unknown:
        raise Trouble(f"there is no kind of asset {unknown[0]!r}", f"Kinds are {', '.join(ASSET_KINDS)}.")
    if until_on is not None and until_on < from_on:
        raise Trouble("a tool cannot end before it begins", "Choose a later day, or none.")
    code = _same_currency(currency, per_month_minor)
    row = ToolCost(
        name=name, basis=basis, kinds=list(kinds), from_on=from_on, until_on=until_on,
        per_month_minor=per_month_minor, currency=code, made_by=scope.actor, made_at=now,
    )  # fmt: skip
    _kept(scope, row, "tool_added", {"name": name, "from": str(from_on)}, now)
    return row


def withdraw(scope: Scope, what: str, identifier: str, *, now: datetime) -> bool:
    """Take back a rate, a price or a tool (`what`: rate, price, tool) that was entered wrongly; whether it
    was there. Months that were reckoned with it stay until they are reckoned anew."""
    _whole(scope)
    table = {"rate": CostRate, "price": HourlyPrice, "tool": ToolCost}.get(what)
    if table is None:
        return False
    with transaction.atomic():
        gone, _ = table._default_manager.filter(pk=identifier).delete()
        if gone:
            append(f"economics.{what}_withdrawn", subject=identifier, actor=scope.actor, body={}, at=now)
    return bool(gone)


def reckon(scope: Scope, months: Sequence[Month], *, now: datetime) -> int:
    """Reckon months anew from what is known now, for the clients that the scope sees; how many client months.
    Each batch of clients stands or falls whole. Raises Trouble for more than MONTHS_MAX months."""
    months = sorted(set(months))
    if not months:
        return 0
    if len(months) > MONTHS_MAX:
        raise Trouble(f"at most {MONTHS_MAX} months at once", "Reckon the newest.")
    span = [months[0].moved(step) for step in range(_between(months[0], months[-1]) + 1)]
    costs, count = costs_now(scope), 0
    clients = list(Client.objects.of(scope).order_by("pk"))
    for start in range(0, len(clients), CLIENTS_AT_ONCE):
        part = clients[start : start + CLIENTS_AT_ONCE]
        names, keys = [str(one) for one in span], [one.pk for one in part]
        with transaction.atomic():
            narrow = Scope(scope.actor, clients=frozenset(keys))
            gathered = gather(narrow, part, span, now=now)
            for table in (ClientMonth, WorkMonth, RuleMonth):
                table.objects.of(scope).filter(client__in=keys, month__in=names).delete()
            sums, work = [], []
            for (client, name), facts in gathered.facts.items():
                month = decide_month(facts, costs, first=next(one for one in span if str(one) == name).first)
                sums.append(
                    ClientMonth(
                        client_id=client, month=name, currency=costs.currency, reckoned_at=now,
                        by_agreement=dict(month.by_agreement), devices=dict(facts.devices),
                        other=dict(month.other), **{key: getattr(month.sums, key) for key in SUMS},
                    )
                )  # fmt: skip
                for row in month.work:
                    given = asdict(row)
                    person = given.pop("person")
                    work.append(WorkMonth(client_id=client, month=name, person_id=person, **given))
            rules = [
                RuleMonth(client_id=client, month=name, rule=rule, alerts=a, told=t, acted=d)
                for (client, name), found in gathered.rules.items()
                for rule, (a, t, d) in found.items()
            ]
            ClientMonth.objects.bulk_create(sums, batch_size=500)
            WorkMonth.objects.bulk_create(work, batch_size=500)
            RuleMonth.objects.bulk_create(rules, batch_size=500)
        count += len(sums)
    return count


def _between(first: Month, last: Month) -> int:
    return (last.year - first.year) * 12 + last.number - first.number


def _whole(scope: Scope) -> None:
    if not scope.everything:
        raise Refused("costs are the provider's: this needs somebody who sees every client")


def _same_currency(currency: str, amount: int) -> str:
    code = known_currency(currency)
    if not 0 <= amount <= AMOUNT_MAX:
        raise Trouble("a cost is not below nothing", "Write for example 48.00.")
    for table in (CostRate, ToolCost, HourlyPrice):
        held = table._default_manager.values_list("currency", flat=True).first()
        if held and held != code:
            raise Trouble(f"costs are in {held} already", "Enter every cost in the same currency.")
        if table._default_manager.count() >= ROWS_MAX:
            raise Trouble(f"there are {ROWS_MAX} entries already", "Withdraw what holds no more.")
    return code


def _kept(
    scope: Scope, row: CostRate | HourlyPrice | ToolCost, kind: str, body: dict[str, Any], now: datetime
) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            append(f"economics.{kind}", subject=row.pk, actor=scope.actor, body=body, at=now)
    except IntegrityError as error:
        raise Trouble(
            "there is one from that day already", "Withdraw it first, or choose another day."
        ) from error
