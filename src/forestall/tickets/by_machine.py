"""Reports from the agent's page on a machine: a ticket about that machine, once for each report."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from forestall.estate.models import Asset, Contact
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.kernel.errors import Trouble
from forestall.tickets.known_trouble import known_trouble
from forestall.tickets.models import Entry, Ticket
from forestall.tickets.opening import Opening, open_ticket
from forestall.tickets.reporting import HOW_BAD, REPORTS_AN_HOUR_MOST, actor_of, title_of

TEXT_MAX_CHARS = 5_000
NAME_MAX_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class FromMachine:
    """A report. `id` is the machine's own for it: the same one again is the same ticket."""

    id: str
    text: str
    how_bad: str = ""
    name: str = ""
    email: str = ""


def known_at(client: str, *, asset: str, now: datetime) -> tuple[str, list[str]]:
    """The name of the machine, and in sentences what we know of its client's trouble."""
    scope = Scope("forestall:reports", clients=frozenset({client}))
    machine = seen(Asset, scope).get(pk=asset, client=client)
    return machine.name, [one.said(now) for one in known_trouble(scope, client=client, now=now)]


def report_from(client: str, *, asset: str, told: FromMachine, now: datetime) -> Ticket:
    """The ticket of a report: a new one, or the one that it opened before. Who reports is a contact when the
    address is one's. Raises Trouble for what is missing or too much."""
    text, email = told.text.strip(), told.email.strip()
    if not text:
        raise Trouble("a report needs a few words", "Write what is wrong, as you would say it.")
    if len(text) > TEXT_MAX_CHARS or max(len(told.name), len(email)) > NAME_MAX_CHARS:
        raise Trouble(f"a report has at most {TEXT_MAX_CHARS} characters", "Shorten it.")
    if not told.id.isalnum() or len(told.id) > 64:
        raise Trouble("a report needs an identifier of letters and digits", "Send it from the agent's page.")
    _, impact, urgency = HOW_BAD.get(told.how_bad, HOW_BAD["hindered"])
    all_of_it = Scope("forestall:reports", clients=frozenset({client}))
    with transaction.atomic():
        # one report of a machine after another, so that one that is sent twice opens one ticket
        machine = seen(Asset, all_of_it).select_for_update().get(pk=asset, client=client)
        key = f"report:{asset}:{told.id}"
        before = seen(Entry, all_of_it).filter(client=client, message_id=key).select_related("ticket").first()
        if before is not None:
            return before.ticket
        lately = seen(Ticket, all_of_it).filter(
            asset=machine, came_by="agent", opened_at__gt=now - timedelta(hours=1)
        )
        if lately.count() >= REPORTS_AN_HOUR_MOST:
            raise Trouble(
                "that were many reports within an hour", "Ring us, please: something is badly wrong."
            )
        contact = (
            seen(Contact, all_of_it).filter(client=client, email__iexact=email).first() if email else None
        )
        who = actor_of(contact) if contact else f"{told.name.strip() or 'Somebody'} at {machine.name}"
        opening = Opening(
            client=client, title=title_of(text), text=text, asset=asset, came_by="agent", impact=impact,
            urgency=urgency, reporter=contact.pk if contact else None,
        )  # fmt: skip
        ticket = open_ticket(Scope(who[:160], clients=frozenset({client})), opening, now=now, touched=False)
        seen(Entry, all_of_it).filter(ticket=ticket, kind="opened").update(message_id=key)
    return ticket
