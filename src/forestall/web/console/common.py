"""What pages share: a scoped request, 404 for what is not seen, forms that say what was wrong."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest

from forestall.alerts.values import SendFailed
from forestall.estate.queries import client_called
from forestall.estate.tenancy import Scope
from forestall.kernel.errors import Trouble

Thing = TypeVar("Thing")


class Asked(HttpRequest):
    """A request that came through the gate."""

    scope: Scope
    rights: frozenset[str]


def seen_or_404(find: Callable[[], Thing | None]) -> Thing:
    """What was found; what is not there, or belongs to somebody else, is the same 404."""
    try:
        found = find()
    except ObjectDoesNotExist:
        raise Http404 from None
    if found is None:
        raise Http404
    return found


def attempt(request: HttpRequest, action: Callable[[], Any], done: str = "") -> bool:
    """Do it and say so, or say what was wrong; whether it was done. What is not seen is a 404."""
    try:
        action()
    except Trouble as trouble:
        messages.error(request, str(trouble))
        return False
    except SendFailed as failure:
        messages.error(request, f"It could not be sent: {failure}. Correct the channel's settings.")
        return False
    except ObjectDoesNotExist:
        raise Http404 from None
    if done:
        messages.success(request, done)
    return True


def client_given(scope: Scope, given: Mapping[str, Any]) -> str:
    """The identifier of the client that a form names (web/templates/console/_client_field.html); "" for none.
    Raises Trouble for a name that is none."""
    text = str(given.get("client", "")).strip()
    return client_called(scope, text).pk if text else ""


def lines_of(text: str) -> list[str]:
    """The lines of a text field."""
    return [line.strip() for line in text.splitlines() if line.strip()]
