"""What was injected against what became of it: every fault one ticket, no ticket without a fault."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from forestall.alerts.models import Alert, Delivery, Evidence
from forestall.alerts.values import Message
from forestall.estate.tenancy import system_scope
from forestall.journal import queries as journal
from forestall.journal.models import Entry
from forestall.kernel.clock import from_ms
from forestall.processes.world import Business, Fault, Injected
from forestall.tickets.models import Link, Ticket

SLACK = timedelta(minutes=15)  # a fault may be noticed, and its recovery told, this long afterwards
SCOPE = system_scope("simulation")


@dataclass(frozen=True, slots=True)
class Told:
    """A message that was sent, and when."""

    at: datetime
    message: Message


def reckon(
    businesses: Sequence[Business], faults: Sequence[Injected], told: Sequence[Told]
) -> dict[str, Any]:
    """Counts and lines for people, as `SimulationResult` names them."""
    tickets = list(Ticket.objects.of(SCOPE).order_by("opened_at", "pk"))
    explained: set[str] = set()
    unmatched: list[str] = []
    broken: list[str] = []
    ledger = _Ledger(told)
    for fault in faults:
        mine = [ticket for ticket in tickets if _is_of(ticket, fault, businesses)]
        explained.update(ticket.pk for ticket in mine)
        if len(mine) == 1:
            broken += [f"{_say(fault, businesses)}: {wrong}" for wrong in ledger.check(mine[0], fault)]
        else:
            titles = "; ".join(ticket.title for ticket in mine) or "none"
            unmatched.append(f"{_say(fault, businesses)}: {len(mine)} tickets ({titles})")
    if open_ones := Ticket.objects.of(SCOPE).filter(closed_at=None).count():
        broken.append(f"{open_ones} tickets are still open although every fault is over")
    if waiting := Delivery.objects.of(SCOPE).filter(state="due").count():
        broken.append(f"{waiting} messages were not sent")
    return {
        "faults": len(faults),
        "tickets": len(tickets),
        "evidence": Evidence.objects.of(SCOPE).count(),
        "messages": len(told),
        "unmatched": tuple(unmatched),
        "unexplained": tuple(
            f"{ticket.opened_at:%H:%M} {ticket.title}" for ticket in tickets if ticket.pk not in explained
        ),
        "broken": tuple(broken),
        "journal_size": journal.size(),
        "journal_root": journal.root().hex(),
    }


class _Ledger:
    """Who was told what, in the order of the journal."""

    def __init__(self, told: Sequence[Told]) -> None:
        self._told: dict[str, list[Told]] = defaultdict(list)
        for one in told:
            self._told[one.message.thread].append(one)
        self._first_sent: dict[str, int] = {}
        for seq, body in (
            Entry.objects.filter(kind="delivery.sent").order_by("seq").values_list("seq", "body")
        ):
            self._first_sent.setdefault(json.loads(bytes(body))["body"]["alert"], seq)
        self._sealed = dict(Evidence.objects.of(SCOPE).values_list("pk", "journal_seq"))

    def check(self, ticket: Ticket, fault: Injected) -> list[str]:
        """What is wrong with the telling of a fault that has its one ticket."""
        wrong = []
        if ticket.occurrences != 1:
            wrong.append(f"counted {ticket.occurrences} times on its ticket")
        alerts = list(Link.objects.of(SCOPE).filter(ticket=ticket).values_list("alert", flat=True).distinct())
        if len(alerts) != 1:
            return [*wrong, f"{len(alerts)} alerts"]
        messages = self._told[alerts[0]]
        opened = [one for one in messages if one.message.step == "opened"]
        recovered = [one for one in messages if one.message.step == "recovered"]
        if len(opened) != 1:
            wrong.append(f"its opening was told {len(opened)} times")
        if len(recovered) != 1:
            wrong.append(f"its recovery was told {len(recovered)} times")
        elif not from_ms(fault.to_ms) <= recovered[0].at <= from_ms(fault.to_ms) + SLACK:
            wrong.append(f"its recovery was told at {recovered[0].at:%H:%M}")
        if opened:
            wrong += self._unsealed(alerts[0], opened[0].message)
        return wrong

    def _unsealed(self, alert: str, opening: Message) -> list[str]:
        sent = self._first_sent.get(alert, -1)
        findings = list(Alert.objects.of(SCOPE).get(pk=alert).findings.values_list("pk", flat=True))
        sealed = set(
            Evidence.objects.of(SCOPE).filter(finding__in=findings).values_list("finding", flat=True)
        )
        wrong = []
        if not opening.evidence:
            wrong.append("told without evidence")
        if any(self._sealed[one] >= sent for one in opening.evidence):
            wrong.append("told before its evidence was sealed")
        if missing := len(set(findings) - sealed):
            wrong.append(f"{missing} of its findings have no evidence")
        return wrong


def _is_of(ticket: Ticket, fault: Injected, businesses: Sequence[Business]) -> bool:
    """Whether a ticket is about that fault: its asset (of a machine that is off also what hangs on it) and
    its time."""
    business = businesses[fault.business]
    thing = business.things[fault.thing]
    assets = {thing.asset}
    if fault.fault is Fault.HOST_OFF:
        assets |= {other.asset for other in business.things if other.behind is thing}
    in_time = from_ms(fault.from_ms) <= ticket.opened_at <= from_ms(fault.to_ms) + SLACK
    return ticket.client_id == business.client and ticket.asset_id in assets and in_time


def _say(fault: Injected, businesses: Sequence[Business]) -> str:
    business = businesses[fault.business]
    times = f"{from_ms(fault.from_ms):%H:%M} to {from_ms(fault.to_ms):%H:%M}"
    return f"{fault.fault} at {business.name}, {business.things[fault.thing].name}, {times}"
