"""Reads of what stands around tickets: queues, views, mentions, templates, checklists, who reports."""

from django.db.models import F, QuerySet

from forestall.estate.models import Contact, Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.tickets.models import (
    ChecklistItem,
    Mention,
    Queue,
    Recurring,
    SavedView,
    ServiceLevel,
    Template,
    Ticket,
)

MOST = 100
LEVELS_MOST = 500
RECURRING_MOST = 500


def list_queues(scope: Scope) -> list[Queue]:
    """The queues of the provider, for whoever sees anything."""
    return list(Queue.objects.filter(retired_at=None)[:MOST]) if scope.everything or scope.clients else []


def list_views(scope: Scope, person: Person) -> list[SavedView]:
    """The person's own views, for themselves."""
    return list(SavedView.objects.filter(person=person)[:MOST]) if scope.actor else []


def list_mentions(scope: Scope, person: Person) -> list[Mention]:
    """Where the person was named and did not look yet, the newest first."""
    rows = seen(Mention, scope).filter(person=person, seen_at=None).select_related("ticket", "entry")
    return list(rows.order_by("-at")[:MOST])


def list_templates(scope: Scope) -> "QuerySet[Template]":
    """Templates for all clients, and those of clients that the scope sees."""
    rows = Template.objects.filter(client=None) | seen(Template, scope)
    return rows.filter(retired_at=None).distinct()


def get_template(scope: Scope, template: str) -> Template:
    """One of them. Raises Template.DoesNotExist."""
    return list_templates(scope).select_related("client", "queue").get(pk=template)


def list_levels(scope: Scope) -> list[ServiceLevel]:
    """Service levels in force: the default first, then those of clients by name."""
    rows = ServiceLevel.objects.filter(client=None) | seen(ServiceLevel, scope)
    rows = rows.filter(retired_at=None).select_related("client").distinct()
    return list(rows.order_by(F("client__name").asc(nulls_first=True))[:LEVELS_MOST])


def get_level(scope: Scope, level: str) -> ServiceLevel:
    """One of them. Raises ServiceLevel.DoesNotExist."""
    rows = ServiceLevel.objects.filter(client=None) | seen(ServiceLevel, scope)
    return rows.filter(retired_at=None).select_related("client").distinct().get(pk=level)


def list_recurring(scope: Scope) -> list[Recurring]:
    """Tickets that open again and again, the next first."""
    rows = seen(Recurring, scope).filter(ended_at=None).select_related("client", "template", "asset")
    return list(rows.order_by("next_at", "pk")[:RECURRING_MOST])


def get_recurring(scope: Scope, recurring: str) -> Recurring:
    """One of them. Raises Recurring.DoesNotExist."""
    rows = seen(Recurring, scope).filter(ended_at=None).select_related("client", "template", "asset")
    return rows.get(pk=recurring)


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
