"""Who asks: a bearer token, or the session of the console (then with CSRF protection)."""

from typing import cast

from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.utils import check_csrf

from forestall.estate.access import Bearer, bearer_of, bearer_of_person, require
from forestall.estate.models import Person
from forestall.estate.tenancy import Scope, keep_within
from forestall.web.api.problems import Problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class May(HttpBearer):
    """Lets in who has the right (or, without one, anybody who is somebody)."""

    def __init__(self, right: str = "") -> None:
        super().__init__()
        self.right = right

    def __call__(self, request: HttpRequest) -> Bearer | None:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise Problem(422, "no address holds a NUL character; leave it out")
        header = request.headers.get("Authorization", "")
        bearer = bearer_of(header) if header else self._session(request)
        if bearer is None or bearer.person is None:
            return None
        if self.right:
            require(bearer.rights, self.right)
        keep_within(bearer.scope)
        return bearer

    def authenticate(self, request: HttpRequest, token: str) -> Bearer | None:
        """Not called: `__call__` reads the header itself."""
        return bearer_of(f"Bearer {token}")

    @staticmethod
    def _session(request: HttpRequest) -> Bearer | None:
        person = getattr(request, "user", None)
        if not isinstance(person, Person) or not person.is_active:
            return None
        if request.method not in SAFE and check_csrf(request) is not None:
            raise Problem(403, "the X-CSRFToken header is missing or stale; programs use a token instead")
        return bearer_of_person(person)


def who(request: HttpRequest) -> Bearer:
    """Who was let in."""
    return cast(Bearer, request.auth)  # type: ignore[attr-defined]


def seen_by(request: HttpRequest) -> Scope:
    """Whose data they see."""
    return who(request).scope


def actor(request: HttpRequest) -> Person:
    """The person behind the session or token."""
    person = who(request).person
    if person is None:
        raise Problem(401, "this needs a person")
    return person
