"""The API of people and tokens."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from forestall.estate import queries
from forestall.estate.access import make_token, require, revoke_token
from forestall.estate.staffing import add_person, change_person
from forestall.kernel.cursors import Page, cut
from forestall.web.access.links import password_link
from forestall.web.api import shapes
from forestall.web.api.auth import May, actor, seen_by, who
from forestall.web.api.paging import Listed, after_name, cursor_of, found, limit_of, one

router = Router(tags=["people"])
READ, WRITE = May("people:read"), May("people:write")
ANYBODY = May()


class PersonMade(shapes.PersonOut):
    """A fresh person with the address at which they choose a password (once, within three days)."""

    password_link: str


class Me(shapes.PersonOut):
    """Who asks, and what this session or token may."""

    rights: list[str]


def _out(request: HttpRequest, row: Any) -> dict[str, Any]:
    return shapes.person_out(row, sees=seen_by(request).sees)


@router.get("/me", auth=ANYBODY, response=Me)
def me(request: HttpRequest) -> dict[str, Any]:
    """Who you are here."""
    return _out(request, actor(request)) | {"rights": sorted(who(request).rights)}


@router.get("/people", auth=READ, response=Listed[shapes.PersonOut])
def list_people(request: HttpRequest, cursor: str = cursor_of(), limit: int = limit_of()) -> Page[Any]:
    """People by name."""
    rows = queries.list_people(seen_by(request), after=after_name(cursor), limit=limit + 1)
    page = cut(rows, limit, lambda row: (row.name, row.pk))
    return Page([_out(request, row) for row in page.items], page.next)


@router.post("/people", auth=WRITE, response={201: PersonMade})
def add(request: HttpRequest, body: shapes.PersonIn) -> tuple[int, dict[str, Any]]:
    """Add somebody, with at most your own rights and clients."""
    row = add_person(who(request), **body.model_dump())
    return 201, _out(request, row) | {"password_link": password_link(row)}


@router.get("/people/{person}", auth=READ, response=shapes.PersonOut)
def get_person(request: HttpRequest, person: str) -> dict[str, Any]:
    """A person."""
    return _out(request, one(request, queries.find_person, person))


@router.patch("/people/{person}", auth=WRITE, response=shapes.PersonOut)
def change(request: HttpRequest, person: str, body: shapes.PersonChange) -> dict[str, Any]:
    """Change somebody who may not more than you do."""
    row = one(request, queries.find_person, person)
    return _out(request, change_person(who(request), row, **body.model_dump()))


@router.get("/tokens", auth=ANYBODY, response=Listed[shapes.TokenOut])
def list_tokens(request: HttpRequest, everybody: bool = False) -> dict[str, Any]:
    """Your tokens (at most 500); with `everybody` those of all people whom you see."""
    if everybody:
        require(who(request).rights, "people:read")
    rows = queries.list_tokens(seen_by(request), person=None if everybody else actor(request))
    return {"items": rows, "next": None}


@router.post("/tokens", auth=ANYBODY, response={201: shapes.TokenMade})
def add_token(request: HttpRequest, body: shapes.TokenIn) -> tuple[int, Any]:
    """A token of yours that may at most what you may now; its secret is shown now and never again."""
    token, secret = make_token(actor(request), by=who(request), **body.model_dump())
    made: Any = token
    made.secret = secret
    return 201, made


@router.delete("/tokens/{token}", auth=ANYBODY, response={204: None})
def revoke(request: HttpRequest, token: str) -> tuple[int, None]:
    """Revoke a token: your own, or with the right people:write anybody's whom you see."""
    mine = None if "people:write" in who(request).rights else actor(request)
    row = found(queries.find_token(seen_by(request), token, person=mine))
    revoke_token(row, actor=seen_by(request).actor)
    return 204, None
