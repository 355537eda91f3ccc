"""How a ticket begins that no alert opened: from what a person enters, a template, or a ticket that is
split."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from forestall.estate.models import Asset, Client, Contact
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.kernel.errors import Trouble
from forestall.tickets.decide import PRIORITIES, priority_from
from forestall.tickets.following import ACTOR, NUMBER_TRIES, journal, next_number, write_entry
from forestall.tickets.models import ChecklistItem, Queue, Template, Ticket
from forestall.tickets.values import CAME_BY

TEXT_MAX_CHARS = 20_000
CHECKLIST_MOST = 60
TAGS_MOST = 12
ASSETS_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a ticket begins with; identifiers where things are named. `priority` counts when neither `impact`
    nor `urgency` is given."""

    client: str
    title: str
    text: str = ""
    asset: str | None = None
    assets: Sequence[str] = ()
    reporter: str | None = None
    came_by: str = "hand"
    queue: str | None = None
    impact: int | None = None
    urgency: int | None = None
    priority: int = 3
    tags: Sequence[str] = ()
    checklist: Sequence[str] = ()
    split_from: str | None = None


def open_ticket(scope: Scope, opening: Opening, *, now: datetime, touched: bool = True) -> Ticket:
    """A new ticket. Raises Trouble for what is wrong in `opening`, DoesNotExist for what is not seen."""
    if not opening.title.strip():
        raise Trouble("a ticket needs a title", "Write in one line what is wrong.")
    if opening.came_by not in CAME_BY:
        raise Trouble(f"no ticket comes by {opening.came_by!r}", f"Choose one of {', '.join(CAME_BY)}.")
    priority = opening.priority
    if opening.impact or opening.urgency:
        priority = priority_from(impact=opening.impact or 3, urgency=opening.urgency or 3)
    check_priority(priority)
    client = Client.objects.all().of(scope).get(pk=opening.client)
    if opening.asset is not None:
        seen(Asset, scope).get(pk=opening.asset, client=client)
    if opening.reporter is not None:
        seen(Contact, scope).get(pk=opening.reporter, client=client)
    if opening.queue is not None:
        Queue.objects.get(pk=opening.queue, retired_at=None)
    for attempt in range(NUMBER_TRIES):
        try:
            with transaction.atomic():
                return _open(scope, opening, priority, now, touched)
        except IntegrityError:  # another process took the number
            if attempt == NUMBER_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def open_from(template: Template, *, client: str, asset: str | None, now: datetime) -> Ticket:
    """A ticket from a template, by the installation itself."""
    opening = Opening(
        client=client, title=template.title, text=template.text, asset=asset, came_by="recurring",
        queue=template.queue_id, impact=template.impact, urgency=template.urgency, tags=template.tags,
        checklist=template.checklist,
    )  # fmt: skip
    return open_ticket(Scope(ACTOR, clients=frozenset({client})), opening, now=now, touched=False)


def check_priority(priority: int) -> None:
    """Raises Trouble for a number that is no priority."""
    if priority not in PRIORITIES:
        raise Trouble(f"there is no priority {priority}", "Choose 1 (now) to 4 (whenever).")


def add_items(ticket: Ticket, lines: Sequence[str]) -> None:
    """More lines of the checklist. Raises Trouble when there are too many."""
    had = every(ChecklistItem).filter(ticket=ticket).count()
    told = [line.strip()[:300] for line in lines if line.strip()]
    if had + len(told) > CHECKLIST_MOST:
        raise Trouble(f"a checklist has at most {CHECKLIST_MOST} lines", "Open a second ticket for the rest.")
    ChecklistItem.objects.bulk_create(
        ChecklistItem(client_id=ticket.client_id, ticket=ticket, position=had + at, text=line)
        for at, line in enumerate(told)
    )


def tidy_tags(tags: Sequence[str]) -> list[str]:
    """Words in small letters, each once, at most TAGS_MOST."""
    return list(dict.fromkeys(tag.strip().lower()[:40] for tag in tags if tag.strip()))[:TAGS_MOST]


def _open(scope: Scope, opening: Opening, priority: int, now: datetime, touched: bool) -> Ticket:
    ticket = Ticket.objects.create(
        number=next_number(), client_id=opening.client, asset_id=opening.asset,
        reporter_id=opening.reporter, came_by=opening.came_by, queue_id=opening.queue,
        title=opening.title.strip()[:300], status="open", impact=opening.impact, urgency=opening.urgency,
        priority=priority, tags=tidy_tags(opening.tags), split_from_id=opening.split_from,
        touched_at=now if touched else None, opened_at=now, changed_at=now,
    )  # fmt: skip
    linked = seen(Asset, scope).filter(pk__in=list(opening.assets)[:ASSETS_MOST], client=opening.client)
    ticket.assets.set(linked)
    add_items(ticket, opening.checklist)
    write_entry(ticket, "opened", opening.text.strip()[:TEXT_MAX_CHARS], actor=scope.actor, now=now)
    by_hand = opening.came_by in ("hand", "phone")
    journal("ticket.opened", ticket, actor=scope.actor, now=now, more={"by_hand": by_hand})
    return ticket
