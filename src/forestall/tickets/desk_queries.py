"""Reads of what stands around tickets: queues, views, mentions, templates, checklists, who reports."""

from django.db.models import QuerySet

from forestall.estate.models import Contact, Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.tickets.models import ChecklistItem, Mention, Queue, SavedView, Template, Ticket

MOST = 100


def list_queues(scope: Scope) -> list[Queue]:
    """The queues of the provider, for whoever sees anything."""
    return list(Queue.objects.all()[:MOST]) if scope.everything or scope.clients else []


def list_views(scope: Scope, person: Person) -> list[SavedView]:
    """The person's own views, for themselves."""
    return list(SavedView.objects.filter(person=person)[:MOST]) if scope.actor else []


def list_mentions(scope: Scope, person: Person) -> list[Mention]:
    """Where the person was named and did not look yet, the newest first."""
    rows = seen(Mention, scope).filter(person=person, seen_at=None).select_related("ticket", "entry")
    return list(rows.order_by("-at")[:MOST])


def list_templates(scope: Scope) -> "QuerySet[Template]":
    """Templates for all clients, and those of clients that the scope sees."""
    return (Template.objects.filter(client=None) | seen(Template, scope)).distinct()


def checklist_of(scope: Scope, ticket: Ticket) -> list[ChecklistItem]:
    """What is to do on a ticket, in order."""
    return list(seen(ChecklistItem, scope).filter(ticket=ticket)[:MOST])


def contact_called(scope: Scope, client: str, text: str) -> str | None:
    """The identifier of the client's contact of that name or address; None for nobody."""
    wanted = text.strip()
    if not wanted:
        return None
    rows = seen(Contact, scope).filter(client=client)
    found = rows.filter(email__iexact=wanted).first() or rows.filter(name__istartswith=wanted).first()
    return found.pk if found else None
