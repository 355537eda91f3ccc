"""A domain's registration, asked of its registry by RDAP: until when does it last, is it on hold?"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, cut
from forestall.collect.certificates import DAY_MS
from forestall.collect.fetch import Page, Wish, fetch
from forestall.collect.reach import Reach
from forestall.kernel.plugins import Setting, Spec

REGISTRIES_URL = "https://data.iana.org/rdap/dns.json"
REGISTRIES_KEPT_S = 86_400
NAME_MAX_CHARS = 253
BAD_STATUSES = frozenset(
    {"client hold", "server hold", "redemption period", "pending delete", "pending restore", "inactive"}
)

SPEC = Spec(
    name="domain",
    title="Domain registration",
    about="Asks the registry (RDAP) until when a domain is registered. Once a day is often enough.",
    source="RFC 9082, RFC 9083, RFC 9224",
    settings=(
        Setting(
            "server", "RDAP server", help="https://…; empty: the registry that IANA names for the ending"
        ),
        Setting("ca", "Further trusted authorities", help="Certificates in PEM form"),
    ),
    limits="Some registries (.de among them) tell no expiry date, and some have no RDAP: then it fails and "
    "says so. Needs a way to the Internet.",
    produces=("probe.up", "probe.took_ms", "domain.days_left"),
)

# One list for the process, from IANA; (when it was read, ending → RDAP server).
_registries: tuple[float, dict[str, str]] = (-1e9, {})


async def _json(question: Question, reach: Reach, url: str, *, whom: str) -> tuple[Page, Any]:
    wish = Wish(
        url,
        headers=(("Accept", "application/rdap+json, application/json"),),
        trust=question.settings["ca"] or "",
    )
    try:
        page = await fetch(question, reach, wish)
    except NoAnswer as error:
        raise NoAnswer(
            f"{whom} could not be asked ({error.reason}): nothing is known about {question.target}",
            raw=error.raw,
        ) from error
    if page.distrust:
        raise NoAnswer(f"{whom} could not be asked ({page.distrust})", raw=page.raw)
    if page.status == 404:
        return page, None
    if page.status != 200:
        raise NoAnswer(f"{whom} answers {page.said}: nothing is known about {question.target}", raw=page.raw)
    try:
        return page, json.loads(page.body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"{whom} answers, but not in JSON", raw=page.raw) from error


def read_registries(content: Any) -> dict[str, str]:
    """Ending → RDAP server (https first) of IANA's file. Raises NoAnswer when it is not that."""
    found: dict[str, str] = {}
    try:
        for endings, servers in content["services"]:
            chosen = next((url for url in servers if url.startswith("https:")), servers[0])
            found.update({ending.lower(): chosen for ending in endings})
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise NoAnswer("IANA's list of registries could not be read") from error
    return found


async def _server_of(question: Question, reach: Reach, name: str) -> str:
    global _registries
    if given := question.settings["server"]:
        return str(given)
    read_at, registries = _registries
    if time.monotonic() - read_at > REGISTRIES_KEPT_S:
        _, content = await _json(question, reach, REGISTRIES_URL, whom="IANA's list of registries")
        registries = read_registries(content)
        _registries = (time.monotonic(), registries)
    ending = name.rpartition(".")[2]
    if ending not in registries:
        raise NotAsked(f"the registry of .{ending} offers no RDAP: until when {name} lasts cannot be asked")
    return registries[ending]


def _expiry(content: Any) -> datetime | None:
    """The instant of the event `expiration` (RFC 9083, section 4.5), or None."""
    for event in content.get("events", []):
        if isinstance(event, dict) and event.get("eventAction") == "expiration":
            try:
                at = datetime.fromisoformat(str(event["eventDate"]).replace("Z", "+00:00"))
            except (KeyError, ValueError):
                continue
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None


async def probe(question: Question, reach: Reach) -> Answer:
    """Ask about a registered domain (example.com, not www.example.com)."""
    try:
        name = question.target.strip().rstrip(".").encode("idna").decode().lower()
    except UnicodeError as error:
        raise NotAsked(f"{question.target!r} is not a domain: {error}") from error
    if "." not in name or len(name) > NAME_MAX_CHARS or any(c in name for c in "/:?#@ "):
        raise NotAsked(f"{question.target!r} is not a domain; write for example example.com")
    server = await _server_of(question, reach, name)
    url = f"{server.rstrip('/')}/domain/{name}"
    page, content = await _json(question, reach, url, whom=f"the registry of {name}")
    if page.status == 404:
        why = f"the registry knows no domain {name}; ask for the registered domain, not for a host in it"
        return Answer(False, why, page.raw)
    if not isinstance(content, dict):
        raise NoAnswer(f"the registry of {name} answers, but not in RDAP", raw=page.raw)
    statuses = [str(status).lower() for status in content.get("status") or []]
    raw = cut(json.dumps({key: content.get(key) for key in ("ldhName", "status", "events")}, indent=1))
    expires = _expiry(content)
    if expires is None:
        raise NoAnswer(f"the registry does not tell until when {name} is registered", raw=raw)
    days = (expires.timestamp() * 1000 - question.now_ms()) / DAY_MS
    numbers = [Number("domain.days_left", days)]
    if days < 0:
        why = f"the registration of {name} expired {-days:.0f} days ago ({expires:%Y-%m-%d})"
        return Answer(False, why, raw, numbers)
    if bad := sorted(BAD_STATUSES.intersection(statuses)):
        return Answer(False, f"{name} is not in use by its registry: {', '.join(bad)}", raw, numbers)
    return Answer(True, f"{name} is registered until {expires:%Y-%m-%d}, {days:.0f} days", raw, numbers)
