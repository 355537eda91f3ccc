"""What a page needs: somebody who is signed in, and a right. Works for plain views and async ones.

The view finds `request.scope` and `request.rights` set (web.middleware sets them, or this gate does).
"""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect

from forestall.estate.access import Refused, bearer_of_person, require
from forestall.estate.models import Person
from forestall.estate.tenancy import keep_within

View = Callable[..., Any]


def needs(*rights: str) -> Callable[[View], View]:
    """Let only people in who have all of these rights; nobody's browser is sent to sign in, a person without
    the right is refused (403, which says the right that is missing)."""

    def around(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                refused = await sync_to_async(admit)(request, *rights)
                if refused is not None:
                    return refused
                answer: HttpResponseBase = await view(request, *args, **kwargs)
                return answer
        else:

            @wraps(view)
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                refused = admit(request, *rights)
                return refused if refused is not None else view(request, *args, **kwargs)

        guarded.needs = rights  # type: ignore[attr-defined]
        return guarded

    return around


def admit(request: HttpRequest, *rights: str) -> HttpResponse | None:
    """None when the person behind the request may; the answer that sends them to sign in when there is none.

    Raises PermissionDenied, which names the right that is missing. Sets `request.scope` and `request.rights`.
    """
    person = getattr(request, "user", None)
    if not isinstance(person, Person) or not person.is_active:
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        if request.path.startswith("/portal/"):
            return redirect("portal-sign-in")
        return redirect_to_login(request.get_full_path())
    bearer = bearer_of_person(person)
    try:
        for right in rights:
            require(bearer.rights, right)
    except Refused as refused:
        raise PermissionDenied(str(refused)) from refused
    keep_within(bearer.scope)
    request.scope = bearer.scope  # type: ignore[attr-defined]
    request.rights = bearer.rights  # type: ignore[attr-defined]
    return None
