"""What every page shows around its content: who is signed in, the running timer, counts in the menu."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from forestall.estate.access import rights_of, scope_of
from forestall.estate.models import Person
from forestall.estate.tenancy import Scope
from forestall.findings.queries import count_states
from forestall.tickets.queries import count_open as count_tickets
from forestall.tickets.queries import running_timer


def frame(request: HttpRequest) -> dict[str, Any]:
    """The context processor of the console's frame; nothing for who is not signed in."""
    person = getattr(request, "user", None)
    if not isinstance(person, Person):
        return {}
    through_gate = getattr(request, "scope", None)  # before the gate it is ASGI's own
    scope = through_gate if isinstance(through_gate, Scope) else scope_of(person)
    findings = count_states(scope)
    return {
        "person": person,
        "rights": getattr(request, "rights", None) or rights_of(person),
        "wrong_count": sum(count for state, count in findings.items() if state != "drifting"),
        "ticket_count": sum(count_tickets(scope).values()),
        "timer": running_timer(scope, person),
        "now": timezone.now(),
    }
