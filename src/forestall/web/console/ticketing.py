"""The desk's tickets: the list with its filters and views, one ticket with its first look, working on it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import queries as estate
from forestall.estate.models import Person
from forestall.kernel.errors import Trouble
from forestall.mail import queries as mail
from forestall.problems import queries as problems
from forestall.tickets import actions, desk_queries, queries, working
from forestall.tickets.decide import STATUSES
from forestall.tickets.first_look import first_look
from forestall.tickets.models import Template
from forestall.tickets.opening import Opening, open_ticket
from forestall.tickets.values import COST_CLASSES, IMPACTS, URGENCIES
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, lines_of, seen_or_404

FILTERS = ("q", "all", "status", "who", "queue")


@needs("tickets:read")
def ticket_list(request: Asked) -> HttpResponse:
    """Tickets, most urgent first."""
    given, person = request.GET, _person(request)
    who = given.get("who", "")
    page = queries.list_tickets(
        request.scope,
        open_only=given.get("all") != "1",
        words=given.get("q", ""),
        statuses=[given["status"]] if given.get("status") else (),
        assignee=person.pk if who == "me" else "",
        unassigned=who == "nobody",
        queue=given.get("queue", ""),
        after=given.get("after") or None,
        most=50,
    )
    filters = urlencode({name: given[name] for name in FILTERS if given.get(name)})
    context = {
        "nav": "tickets", "page": page, "q": given.get("q", ""), "all": given.get("all") == "1", "who": who,
        "status": given.get("status", ""), "queue": given.get("queue", ""), "filters": filters,
        "statuses": STATUSES, "queues": desk_queries.list_queues(request.scope),
        "views": desk_queries.list_views(request.scope, person),
        "mentions": desk_queries.list_mentions(request.scope, person),
        "people": _people(request),
    }  # fmt: skip
    return render(request, "console/tickets.html", context)


@needs("tickets:write")
def ticket_many(request: Asked) -> HttpResponse:
    """The same change to the marked tickets."""
    given = request.POST
    priority = given.get("priority", "")
    who = given.get("person", "")
    attempt(
        request,
        lambda: working.change_many(
            request.scope, given.getlist("ticket"), status=given.get("status", ""),
            person=None if not who else "" if who == "nobody" else who,
            priority=int(priority) if priority.isdecimal() else None,
            queue=given.get("queue") or None, now=timezone.now(),
        ),
        "Changed.",
    )  # fmt: skip
    return redirect("tickets")


@needs("tickets:write")
def ticket_view(request: Asked) -> HttpResponse:
    """Keep the filters of the list under a name, or forget them."""
    given, person = request.POST, _person(request)
    if given.get("forget"):
        named = [
            one for one in desk_queries.list_views(request.scope, person) if one.name == given.get("name", "")
        ]
        for view in named:
            working.forget_view(person, view.pk)
        return redirect("tickets")
    attempt(
        request,
        lambda: working.save_view(person, name=given.get("name", ""), filters=given.get("filters", "")),
        "The view is kept.",
    )
    return redirect("tickets")


@needs("tickets:write")
def ticket_new(request: Asked) -> HttpResponse:
    """A ticket by hand, as somebody rings."""
    given = request.POST
    if request.method == "POST":
        made: list[str] = []
        if attempt(request, lambda: made.append(_open(request)), "Ticket opened."):
            return redirect("ticket", ticket=made[0])
    given = given or request.GET
    asset = estate.find_asset(request.scope, given["asset"]) if given.get("asset") else None
    client = asset.client if asset else estate.find_client(request.scope, given.get("client", ""))
    chosen = client.name if client else given.get("client", "")
    template = _template(request, given)
    words = {"title": template.title, "text": template.text} if template else {}
    shown = words | {name: value for name, value in given.items() if value}
    context = {
        "template": template,
        "impact": _number(given.get("impact", "")) or (template.impact if template else 3),
        "urgency": _number(given.get("urgency", "")) or (template.urgency if template else 2),
        "nav": "tickets", "clients": estate.clients_like(request.scope, chosen), "given": shown,
        "asset": asset, "chosen": chosen, "impacts": IMPACTS, "urgencies": URGENCIES,
        "templates": desk_queries.list_templates(request.scope),
    }  # fmt: skip
    return render(request, "console/ticket_new.html", context)


@needs("tickets:read")
def ticket_page(request: Asked, ticket: str) -> HttpResponse:
    """One ticket: its first look, reason, evidence, the timeline."""
    page = seen_or_404(lambda: queries.page_of(request.scope, ticket, now=timezone.now()))
    context = {
        "nav": "tickets", "page": page, "ticket": page.ticket, "look": first_look(request.scope, page.ticket),
        "changes": page.changes or page.before.changes[::-1],
        "behind": problems.behind(request.scope, page.ticket),
        "people": _people(request), "statuses": STATUSES, "impacts": IMPACTS, "urgencies": URGENCIES,
        "cost_classes": COST_CLASSES, "checklist": desk_queries.checklist_of(request.scope, page.ticket),
        "queues": desk_queries.list_queues(request.scope),
        "mails": mail.by_entry(request.scope, page.ticket.pk),
    }  # fmt: skip
    return render(request, "console/ticket.html", context)


@needs("tickets:write")
def ticket_change(request: Asked, ticket: str, what: str) -> HttpResponse:
    """Everything that is done on a ticket's page."""
    scope, now, person = request.scope, timezone.now(), _person(request)
    if what == "look":
        others = seen_or_404(lambda: working.look_at(scope, ticket, person=person, now=now))
        return render(request, "console/_ticket_looking.html", {"others": others, "ticket_id": ticket})
    done = _simple(request, ticket, what) or _desk(request, ticket, what)
    seen_or_404(lambda: queries.get(scope, ticket))
    if done is not None:
        attempt(request, done)
    return redirect("ticket", ticket=ticket)


def _simple(request: Asked, ticket: str, what: str) -> Any:
    given, scope, now, person = request.POST, request.scope, timezone.now(), _person(request)
    match what:
        case "note":
            return lambda: working.note(scope, ticket, text=given.get("text", ""), now=now)
        case "reply":
            status = given.get("status", "")
            return lambda: working.reply(scope, ticket, text=given.get("text", ""), status=status, now=now)
        case "rename":
            return lambda: actions.rename(scope, ticket, title=given.get("title", ""), now=now)
        case "status":
            return lambda: actions.set_status(scope, ticket, status=given.get("status", ""), now=now)
        case "assign":
            return lambda: actions.assign(scope, ticket, person=given.get("person") or None, now=now)
        case "priority":
            number = _number(given.get("priority", ""))
            return lambda: actions.set_priority(scope, ticket, priority=number, now=now)
        case "start":
            return lambda: actions.start_timer(scope, ticket, person=person, now=now)
        case "stop":
            return lambda: actions.stop_timer(scope, person=person, now=now)
    return None


def _desk(request: Asked, ticket: str, what: str) -> Any:
    given, scope, now, person = request.POST, request.scope, timezone.now(), _person(request)
    match what:
        case "classify":
            impact, urgency = _number(given.get("impact", "")), _number(given.get("urgency", ""))
            return lambda: working.classify(scope, ticket, impact=impact, urgency=urgency, now=now)
        case "file":
            tags = given.get("tags", "").split(",")
            queue = given.get("queue", "")
            return lambda: working.file_under(scope, ticket, queue=queue, tags=tags, now=now)
        case "checklist":
            lines = lines_of(given.get("lines", ""))
            return lambda: working.extend_checklist(scope, ticket, lines=lines, now=now)
        case "tick":
            item, done = given.get("checklist_item", ""), given.get("done") == "1"
            return lambda: working.tick(scope, ticket, item=item, done=done, now=now)
        case "effort":
            minutes = _number(given.get("minutes", ""))
            return lambda: working.log_effort(
                scope, ticket, person=person, minutes=minutes, cost_class=given.get("cost_class", "remote"),
                note=given.get("note", ""), now=now,
            )  # fmt: skip
        case "merge":
            into = given.get("into", "")
            return lambda: working.merge(scope, ticket, into=_numbered(request, into), now=now)
        case "split":
            return lambda: working.split(scope, ticket, title=given.get("title", ""), now=now)
    return None


def _open(request: Asked) -> str:
    given, person = request.POST, _person(request)
    now = timezone.now()
    client = estate.client_called(request.scope, given.get("client", "")).pk
    template = _template(request, given)
    if template is not None and template.client_id not in (None, client):
        raise Trouble(f"{template.name} is a template of another client", "Choose another one.")
    phone, minutes = given.get("came_by") == "phone", _number(given.get("minutes", ""))
    opening = Opening(
        client=client, title=given.get("title", ""), text=given.get("text", ""),
        asset=given.get("asset") or None, came_by="phone" if phone else "hand",
        impact=_number(given.get("impact", "")) or None, urgency=_number(given.get("urgency", "")) or None,
        priority=_number(given.get("priority", "")) or 3,
        reporter=desk_queries.contact_called(request.scope, client, given.get("reporter", "")),
        queue=template.queue_id if template else None, tags=template.tags if template else (),
        checklist=template.checklist if template else (),
    )  # fmt: skip
    ticket = open_ticket(request.scope, opening, now=now)
    if minutes:
        working.log_effort(
            request.scope, ticket.pk, person=person, minutes=minutes, cost_class="remote",
            note="On the telephone", now=now,
        )  # fmt: skip
    return ticket.pk


def _template(request: Asked, given: Mapping[str, Any]) -> Template | None:
    wanted = str(given.get("ticket_template", ""))
    rows = desk_queries.list_templates(request.scope).select_related("queue")
    return rows.filter(pk=wanted).first() if wanted else None


def _numbered(request: Asked, text: str) -> str:
    found = queries.of(request.scope).filter(number=_number(text.lstrip("# "))).first()
    if found is None:
        raise Trouble(
            f"there is no ticket {text!r}", "Write the number of the ticket that it is the same as."
        )
    return found.pk


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _people(request: Asked) -> list[Person]:
    return [
        person
        for person in estate.list_people(request.scope)
        if person.is_active and person.role not in ("client_contact", "accounting", "read_only")
    ]


def _person(request: Asked) -> Person:
    person = request.user
    assert isinstance(person, Person)  # the gate let nobody else in
    return person
