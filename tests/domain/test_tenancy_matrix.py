"""Every address × method × role: what another client owns is answered as if it did not exist, byte for byte.

Addresses are read from the URL resolver and the API's description, so that a new one is tested without being
listed; one that this file cannot fill fails with what to add.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from estate_factories import make_person
from forestall.estate.access import make_token, rights_of
from forestall.estate.values import Role
from forestall.journal.models import Entry
from forestall.web.api.application import description
from tenancy_world import NOBODYS, World, make_world

pytestmark = pytest.mark.django_db

API = "/api/v1/"
PLACE = re.compile(r"<(?:\w+:)?(\w+)>")
# Addresses that name nothing of a client.
NOT_OURS = {
    "/api/v1/queues": "the provider's queues, for all clients",
    "/agent/v1/report": "signed by a collector, for its own client: tests/contract/test_agent_reports.py",
    "/accounts/": "allauth: about the person who is signed in alone",
    "/portal/sign-in": "asking for a link and using it: nothing of a client is shown",
    "/set-up/": "the one-time link: before there is any client",
}
# Addresses at which even an owner finds only what is their own.
PERSONAL = {"/people/tokens/<token>/revoke": "one's own tokens"}
# Parts of console addresses that are no identifiers → what they can be.
WORDS = {
    "client-add": {"what": ("site", "contact", "asset")},
    "asset-change": {"what": ("archive", "probe-remove")},
    "stranger-change": {"what": ("assign", "make", "ignore", "heed")},
    "credential-change": {"what": ("rename", "replace", "remove")},
    "site-change": {"what": ("ranges", "on", "off", "now")},
    "sighting-change": {"what": ("confirm", "merge", "dismiss", "propose")},
    "baseline": {"what": ("name", "drop")},
    "backup-change": {"what": ("want", "take-back", "pause", "resume", "accept", "archive")},
    "ticket-change": {
        "what": (
            "note",
            "rename",
            "status",
            "assign",
            "priority",
            "start",
            "stop",
            "reply",
            "look",
            "classify",
            "file",
            "checklist",
            "tick",
            "effort",
            "merge",
            "split",
        )
    },
    "problem-change": {
        "what": ("open", "dismiss", "hypothesis", "describe", "fix", "article", "join", "part", "try"),
    },
    "hypothesis-change": {"what": ("confirmed", "refuted")},
    "billing-step": {"what": ("reckon", "approve", "issue")},
    "books-export": {"dialect": ("quickbooks", "xero", "hledger", "beancount")},
    "invoice-paper": {"paper": ("pdf", "xml", "ubl")},
    "economics-csv": {"table": ("clients", "rules", "renewals", "prevention", "kinds")},
    "owner-month": {"reckoned_month": ("2026-10", "2026-11")},
    "owner-month-pdf": {"reckoned_month": ("2026-10",)},
    "economics-cost-add": {"what": ("rate", "price", "tool")},
    "economics-cost-withdraw": {"what": ("rate", "price", "tool")},
    "mailbox-change": {"what": ("test", "look", "password", "remove")},
    "mail-change": {"what": ("let-in", "refuse", "again")},
    "channel-add": {"notifier": ("webhook", "smtp")},
    "channel-change": {"what": ("test", "remove")},
}
# What forms of the console need besides identifiers.
FORM = {
    "text": "x", "status": "in_progress", "priority": "2", "name": "x", "kind": "icmp", "target": "10.0.0.1",
    "title": "x", "rule": "disk-full", "because": "x", "settings": "{}", "note": "x", "url": "http://127.0.0.1/",
}  # fmt: skip
# In a query a tag is a word, in an address it is an identifier.
WORDS_ELSEWHERE = frozenset({"tag"})
# What differs between two equal answers that are no 404: secrets, hashes, fresh identifiers, the time.
VARYING = re.compile(rb"[\w-]{32,}|\b[0-9A-HJKMNP-TV-Z]{13}\b|\d{4}-\d\d-\d\dT[\d:.]+|\d\d:\d\d(:\d\d)?")
METHODS = {"get", "post", "put", "patch", "delete"}


@dataclass(frozen=True, slots=True)
class Route:
    """A method of an address. `query` and `body` hold what must be sent; identifiers by their names."""

    name: str
    method: str
    address: str
    query: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)
    lists: tuple[str, ...] = ()  # names in the body that take a list of identifiers

    @property
    def names_something(self) -> bool:
        return "<" in self.address

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.address}"


Ask = Callable[[Route, dict[str, str]], HttpResponseBase]


def patterns(resolver: URLResolver, before: str = "/") -> Iterator[tuple[str, URLPattern]]:
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from patterns(one, before + str(one.pattern))
        else:
            yield before + str(one.pattern), one


def routes(known: set[str]) -> list[Route]:
    """All of them; fails for an address that cannot be filled."""
    told = json.loads(description())
    found: list[Route] = []
    seen: set[str] = set()
    for address, pattern in patterns(get_resolver()):
        if address.startswith(tuple(NOT_OURS)) or pattern.name is None or address in seen:
            continue
        if address.startswith(API):
            seen.add(address)
            found += _api_routes(address, told, known)
        else:
            found += _pages(address, pattern.name, known)
    return found


def _known(address: str, known: set[str]) -> None:
    for name in PLACE.findall(address):
        assert name in known, (
            f"{address}: nothing is known of <{name}>. If it is an identifier, add one to"
            " tests/tenancy_world.py; if it is a word, add what it can be to WORDS here."
        )


def _pages(address: str, name: str, known: set[str]) -> Iterator[Route]:
    filled = [address]
    for word, values in WORDS.get(name, {}).items():
        filled = [re.sub(rf"<(?:\w+:)?{word}>", value, one) for one in filled for value in values]
    for one in filled:
        _known(one, known)
        address_ = PLACE.sub(r"<\1>", one)
        names = tuple(sorted(known))
        if name == "events":  # a stream without an end; it is told apart by clients in the journal
            continue
        yield Route(name, "get", address_, query=() if "<" in one else names)
        yield Route(name, "post", address_, body=FORM | dict.fromkeys(names))


def _api_routes(address: str, told: dict[str, Any], known: set[str]) -> Iterator[Route]:
    operations = told["paths"].get(re.sub(PLACE, r"{\1}", address))
    if operations is None:
        assert "<" not in address, (
            f"{address} is not in the API's description: add it, or name it in NOT_OURS"
        )
        return
    _known(address, known)
    for method in METHODS & set(operations):
        operation = operations[method]
        query = tuple(
            one["name"]
            for one in operation.get("parameters", [])
            if one["in"] == "query" and (one["name"] in known - WORDS_ELSEWHERE or one.get("required"))
        )
        content = operation.get("requestBody", {}).get("content", {})
        body, lists = _body(content, told, known) if content else ({}, ())
        yield Route(operation["operationId"], method, PLACE.sub(r"<\1>", address), query, body, lists)


def _body(
    content: dict[str, Any], told: dict[str, Any], known: set[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    schema = content["application/json"]["schema"]
    schema = told["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    body: dict[str, Any] = {}
    lists = []
    for name, shape in schema["properties"].items():
        if name in known - WORDS_ELSEWHERE:
            body[name] = None
        elif name.removesuffix("s") in known - WORDS_ELSEWHERE and shape.get("type") == "array":
            lists.append(name)
        elif name in schema.get("required", []):
            body[name] = _value(shape)
    return body, tuple(lists)


def _value(shape: dict[str, Any]) -> Any:
    if shape.get("format") == "date-time":
        return "2030-01-01T00:00:00Z"
    if shape.get("format") == "date":
        return "2030-01-01"
    return {"integer": 3, "number": 1.0, "boolean": False, "array": [], "object": {}}.get(
        shape.get("type", ""), "x"
    )


def asker(browser: Browser, **headers: str) -> Ask:
    """Sends a route with identifiers in all of its places."""

    def ask(route: Route, ids: dict[str, str]) -> HttpResponseBase:
        browser.cookies.pop("messages", None)  # what was said about the route before
        address = re.sub(r"<(\w+)>", lambda match: ids[match[1]], route.address)
        body = {name: ids[name] if value is None else value for name, value in route.body.items()}
        body |= {name: [ids[name.removesuffix("s")]] for name in route.lists}
        query = {name: ids.get(name, "x") for name in route.query}
        if address.startswith(API):
            content = json.dumps(body) if route.method in ("post", "put", "patch") else ""
            return browser.generic(
                route.method.upper(), address, content, "application/json",
                query_params=query, headers=headers,
            )  # fmt: skip
        if route.method == "post":
            return browser.post(address, body)
        return browser.get(address, query)

    return ask


def shown(answer: HttpResponseBase, ids: dict[str, str]) -> tuple[Any, ...]:
    """What the asker sees; where they are sent contains the identifier that they gave."""
    place = answer.headers.get("Location", "")
    for identifier in ids.values():
        place = place.replace(identifier, "ID")
    body = getattr(answer, "content", b"") if not answer.streaming else b"".join(answer)  # type: ignore[attr-defined]
    if answer.status_code != 404:
        body = VARYING.sub(b"~", body)
    return answer.status_code, answer.headers.get("Content-Type"), place, body


def difference(first: tuple[Any, ...], second: tuple[Any, ...]) -> str:
    """Where two answers part."""
    if first[:3] != second[:3]:
        return f"somebody else's is {first[:3]}, nobody's {second[:3]}"
    at = next((at for at, (a, b) in enumerate(zip(first[3], second[3], strict=False)) if a != b), 0)
    start = max(0, at - 60)
    return f"somebody else's has {first[3][start : at + 60]!r}, nobody's {second[3][start : at + 60]!r}"


def compare(world: World, ask: Ask, *, must: bool) -> list[str]:
    """What differs, in words. `must`: the reader has all rights, so that nothing but 404 will do."""
    nothing = dict.fromkeys(world.foreign, NOBODYS)
    wrong = []
    for route in routes(set(world.foreign)):
        with transaction.atomic():  # what the reader changes of their own does not reach the next route
            first = shown(ask(route, world.foreign), world.foreign)
            transaction.set_rollback(True)
        with transaction.atomic():
            second = shown(ask(route, nothing), nothing)
            transaction.set_rollback(True)
        if first != second:
            wrong.append(f"{route}: {difference(first, second)}")
        if first[0] >= 500:
            wrong.append(f"{route}: falls over, {first[-1]!r:.200}")
        allowed = {404} if must and route.address.startswith(API) else {404, 403, 405}
        if route.names_something and first[0] not in allowed:
            wrong.append(f"{route}: answers {first[0]}, {first[-1]!r:.200}")
    return wrong


@pytest.fixture
def world() -> World:
    return make_world(timezone.now())


@pytest.mark.parametrize("role", list(Role))
def test_by_session(role: Role, world: World) -> None:
    browser = Browser()
    browser.force_login(make_person(role=role, clients=(world.mine,)))
    entries = Entry.objects.filter(client=world.foreign["client"]).count()
    wrong = compare(world, asker(browser), must=role is Role.OWNER)
    assert not wrong, "\n".join(wrong)
    assert Entry.objects.filter(client=world.foreign["client"]).count() == entries


def test_by_a_token_that_is_bound_to_another_client(world: World) -> None:
    owner = make_person(role=Role.OWNER)
    _, secret = make_token(owner, name="bound", may=rights_of(owner), client=world.mine.pk)
    ask = asker(Browser(), Authorization=f"Bearer {secret}")
    nothing = dict.fromkeys(world.foreign, NOBODYS)
    for route in routes(set(world.foreign)):
        if route.address.startswith(API):
            with transaction.atomic():
                first = shown(ask(route, world.foreign), world.foreign)
                transaction.set_rollback(True)
            with transaction.atomic():
                second = shown(ask(route, nothing), nothing)
                transaction.set_rollback(True)
            assert first == second, f"{route}: {difference(first, second)}"
            assert not route.names_something or first[0] == 404, f"{route}: {first}"


def test_the_matrix_asks_for_what_is_there(world: World) -> None:
    """Somebody who sees every client gets something else than 404 at each address: the test is not empty."""
    browser = Browser(raise_request_exception=False)  # whether sending works is not asked here
    browser.force_login(make_person(role=Role.OWNER))
    ask = asker(browser)
    missed = []
    for route in routes(set(world.foreign)):
        with transaction.atomic():
            answer = ask(route, world.foreign)
            transaction.set_rollback(True)
        if route.names_something and answer.status_code in (404, 403) and route.address not in PERSONAL:
            missed.append(f"{route}: {answer.status_code}")
    assert not missed, "\n".join(missed)
    assert len([route for route in routes(set(world.foreign)) if route.names_something]) > 60


def test_nobody_gets_in_without_a_session_or_token(world: World) -> None:
    ask = asker(Browser())
    open_to_all = {"/healthz", "/readyz", "/metrics", f"{API}openapi.json"}
    for route in routes(set(world.foreign)):
        answer = ask(route, world.foreign)
        if route.address in open_to_all:
            continue
        if route.address.startswith(API):
            assert answer.status_code == 401 and answer["Content-Type"] == "application/problem+json", (
                f"{route}"
            )
        else:
            assert answer.status_code in (302, 405), f"{route}: {answer.status_code}"
            assert answer.status_code == 405 or answer["Location"].startswith(
                ("/accounts/login/", "/portal/sign-in/")
            ), f"{route}"


def test_an_address_that_cannot_be_filled_says_what_to_add() -> None:
    with pytest.raises(AssertionError, match="add one to"):
        _known("/api/v1/invoices/<invoice>", {"client"})
