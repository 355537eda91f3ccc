"""The installation: spec, channels, collectors, people, health, catalogue."""

import json
import time
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.alerts import channels
from forestall.alerts import queries as alerts
from forestall.collect.asking import PROBES
from forestall.estate import access, actions, enrolment, queries
from forestall.estate.logins import name_logins_of_person
from forestall.estate.models import Asset
from forestall.estate.staffing import add_person
from forestall.estate.values import RIGHTS, Role
from forestall.findings import actions as finding_actions
from forestall.findings import queries as findings
from forestall.journal import queries as journal
from forestall.journal.actions import installation_signer
from forestall.journal.seal import fingerprint
from forestall.judge.check import say_level
from forestall.judge.pack import load_packs
from forestall.judge.rules import Book, Rule
from forestall.judge.shelf import builtin_packs
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import load
from forestall.kernel.signs import read_sign
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, lines_of, seen_or_404
from forestall.web.console.overriding import fields_of, settings_of
from forestall.web.operations import list_doors

ROLES = ("store", "watch", "web", "guard", "agent")
HOMES = (
    ("Probes", PROBES),
    ("Looks of the agent", "forestall.collect.host.everywhere"),
    ("Looks on Linux", "forestall.collect.host.linux"),
    ("Looks on Windows", "forestall.collect.host.windows"),
    ("Looks on a Mac", "forestall.collect.host.macos"),
    ("Listeners", "forestall.collect.listeners"),
    ("Doors", "forestall.intake.doors"),
    ("Notifiers", "forestall.alerts.notifiers"),
)
COLLECTORS_SHOWN = 100
SIGN_LATE_S = 15.0

_books: list[Book] = []


def book() -> Book:
    """The built-in packs, read once."""
    if not _books:
        _books.append(load_packs(builtin_packs()))
    return _books[0]


@needs("findings:read")
def spec(request: Asked) -> HttpResponse:
    """Packs and their rules in words, and where they are overridden."""
    given = request.GET
    asset = (
        seen_or_404(lambda: queries.find_asset(request.scope, given["asset"])) if given.get("asset") else None
    )
    chosen = _rule(given.get("rule", ""), asset)
    context = {
        "nav": "spec",
        "packs": [
            (
                pack,
                [(rule, [(one.state, say_level(rule, one)) for one in rule.levels]) for rule in pack.rules],
            )
            for pack in book().packs
        ],
        "overrides": findings.list_overrides(request.scope),
        "clients": queries.clients_like(request.scope, ""),
        "rule": given.get("rule", ""),
        "asset": asset,
        "fields": fields_of(chosen) if chosen else [],
        "open_pack": chosen.pack if chosen else book().packs[0].name,
    }
    return render(request, "console/spec.html", context)


@needs("findings:write")
def override(request: Asked) -> HttpResponse:
    """Other settings for a rule at a client or an asset."""
    given, scope = request.POST, request.scope
    name = given.get("rule", "")
    asset = seen_or_404(lambda: queries.find_asset(scope, given["asset"])) if given.get("asset") else None
    attempt(
        request,
        lambda: finding_actions.override_rule(
            scope, name,
            client=asset.client_id if asset else queries.client_called(scope, given.get("client", "")).pk,
            asset=asset.pk if asset else None,
            settings=settings_of(given.dict(), _rule(name, asset)),
            because=given.get("because", ""), now=timezone.now(), book=book(),
        ),
        "Overridden; it holds within a few seconds.",
    )  # fmt: skip
    return redirect("spec")


def _rule(name: str, asset: Asset | None) -> Rule | None:
    """The rule of that name, as the asset's kind has it."""
    if asset is not None:
        return book().rules_for(asset.kind).get(name)
    return next(iter(book().named(name)), None)


@needs("findings:write")
def override_remove(request: Asked, override: str) -> HttpResponse:
    """The rule is as the pack says again."""
    attempt(
        request,
        lambda: finding_actions.remove_override(request.scope, override, now=timezone.now()),
        "The rule is as its pack says again.",
    )
    return redirect("spec")


@needs("installation:read")
def channel_list(request: Asked) -> HttpResponse:
    """Who is told, by which way, and the ledger of what was sent."""
    specs = [channels.spec_of(name) for name in channels.notifiers()]
    chosen = next((one for one in specs if one.name == request.GET.get("notifier")), specs[0])
    context = {
        "nav": "channels",
        "channels": channels.list_channels(request.scope),
        "specs": specs,
        "chosen": chosen,
        "clients": queries.clients_like(request.scope, ""),
        "deliveries": alerts.list_deliveries(request.scope, most=50),
    }
    return render(request, "console/channels.html", context)


@needs("installation:write")
def channel_add(request: Asked, notifier: str) -> HttpResponse:
    """A new channel."""
    spec_ = seen_or_404(lambda: channels.spec_of(notifier) if notifier in channels.notifiers() else None)
    given: dict[str, Any] = {one.name: request.POST.get(one.name, "") for one in spec_.settings}
    given = {name: value for name, value in given.items() if value != ""}
    attempt(
        request,
        lambda: channels.create_channel(
            request.scope, notifier=notifier, title=request.POST.get("title", ""), given=given,
            client=client_given(request.scope, request.POST) or None, now=timezone.now(),
        ),
        "Channel added. Send a test message to see that it arrives.",
    )  # fmt: skip
    return redirect("channels")


@needs("installation:write")
def channel_change(request: Asked, channel: str, what: str) -> HttpResponse:
    """A test message, or away with it."""
    if what == "test":
        attempt(
            request,
            lambda: channels.send_test(request.scope, channel, now=timezone.now()),
            "Sent. Did it arrive?",
        )
    elif what == "remove":
        attempt(
            request, lambda: channels.delete_channel(request.scope, channel, now=timezone.now()), "Removed."
        )
    return redirect("channels")


@needs("estate:read")
def collector_list(request: Asked) -> HttpResponse:
    """Enrolled machines; a token for another one."""
    shown: dict[str, Any] = {}
    if request.method == "POST" and "estate:write" in request.rights:
        site = request.POST.get("site") or None
        try:
            client = queries.client_called(request.scope, request.POST.get("client", ""))
            _, secret = enrolment.make_enrolment_token(request.scope, client=client.pk, site=site)
            shown = {"secret": secret, "for": client, "url": settings.CONFIG.url}
        except Trouble as trouble:
            messages.error(request, str(trouble))
        except LookupError as error:
            messages.error(request, f"{error}. Choose one from the list.")
    collectors = queries.list_collectors(request.scope, limit=COLLECTORS_SHOWN + 1)
    context = {
        "nav": "collectors",
        "collectors": collectors[:COLLECTORS_SHOWN],
        "more": len(collectors) > COLLECTORS_SHOWN,
        "clients": queries.clients_like(request.scope, ""),
        "shown": shown,
    }
    return render(request, "console/collectors.html", context)


@needs("estate:write")
def collector_revoke(request: Asked, collector: str) -> HttpResponse:
    """Its key opens nothing from now on."""
    row = seen_or_404(lambda: queries.find_collector(request.scope, collector))
    attempt(request, lambda: actions.revoke_collector(request.scope, row), "Revoked.")
    return redirect("collectors")


@needs("people:read")
def people(request: Asked) -> HttpResponse:
    """Who signs in, and one's own API tokens."""
    given = request.POST
    secret = ""
    if request.method == "POST" and given.get("what") == "person":
        access.require(request.rights, "people:write")
        try:
            attempt(
                request,
                lambda: add_person(
                    access.bearer_of_person(request.user),
                    name=given.get("name", ""), email=given.get("email", ""), role=given.get("role", ""),
                    password=given.get("password", ""), all_clients=not given.get("client", "").strip(),
                    clients=list(filter(None, [client_given(request.scope, given)])),
                ),
                "Added.",
            )  # fmt: skip
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        except access.Refused as refused:
            messages.error(request, str(refused))
        return redirect("people")
    if request.method == "POST" and given.get("what") == "logins":
        return _name_logins(request)
    if request.method == "POST" and given.get("what") == "token":
        secret = _make_token(request)
    context = {
        "nav": "people",
        "people": queries.list_people(request.scope),
        "tokens": queries.list_tokens(request.scope, person=request.user),  # type: ignore[arg-type]
        "roles": [(role.value, role.title) for role in Role],
        "may": [right for right in RIGHTS if right in request.rights],
        "clients": queries.clients_like(request.scope, ""),
        "secret": secret,
    }
    return render(request, "console/people.html", context)


def _name_logins(request: Asked) -> HttpResponse:
    """As whom somebody of ours signs in to clients' machines."""
    given, myself = request.POST, request.user
    person = seen_or_404(lambda: queries.find_person(request.scope, given.get("person", "")))
    bearer, names = access.bearer_of_person(myself), lines_of(given.get("login_names", ""))
    attempt(request, lambda: name_logins_of_person(bearer, person, names=names), "Saved.")
    return redirect("people")


def _make_token(request: Asked) -> str:
    """The secret of the token that the form asks for; "" when it was said what is wrong with it."""
    given = request.POST
    made: list[str] = []

    def make() -> None:
        client = client_given(request.scope, given)
        made.append(
            access.make_token(
                request.user,  # type: ignore[arg-type]
                name=given.get("name", ""),
                may=given.getlist("may"),
                client=client or None,
                asset=_asset_named(request, given.get("asset", "").strip(), client),
                rate_bytes_per_s=_megabytes(given.get("rate", "")),
                body_max_bytes=_megabytes(given.get("body_max", "")),
            )[1]
        )

    attempt(request, make)
    return made[0] if made else ""


def _asset_named(request: Asked, name: str, client: str) -> str | None:
    """The client's asset of that name. Raises Trouble when there is none, or several."""
    if not name:
        return None
    found = queries.assets_named(request.scope, name, client=client) if client else []
    if len(found) != 1:
        raise Trouble(
            f"the client has no asset called {name!r}", "Name the client too, and one of its assets."
        )
    return found[0].pk


def _megabytes(text: str) -> int | None:
    """Bytes. Raises Trouble for what is no number."""
    if not text.strip():
        return None
    try:
        return int(float(text) * 1_000_000)
    except (ValueError, OverflowError) as error:
        raise Trouble(
            f"{text!r} is not a number of megabytes", "Leave it empty for the usual one."
        ) from error


@needs("people:read")
def token_revoke(request: Asked, token: str) -> HttpResponse:
    """One's own token opens nothing from now on."""
    row = seen_or_404(lambda: queries.find_token(request.scope, token, person=request.user))  # type: ignore[arg-type]
    attempt(request, lambda: access.revoke_token(row, actor=request.scope.actor), "Revoked.")
    return redirect("people")


@needs("installation:read")
def health(request: Asked) -> HttpResponse:
    """This installation itself: roles, queue, store, deliveries, journal."""
    now = time.time()
    signs = [(role, read_sign(settings.DATA.run, role)) for role in ROLES]
    watch = next((sign for role, sign in signs if role == "watch" and sign), None)
    guard = next((sign for role, sign in signs if role == "guard" and sign), None)
    restarts: list[dict[str, Any]] = []
    try:
        restarts = json.loads((settings.DATA.run / "restarts.json").read_text())[-10:]
    except (OSError, ValueError):
        restarts = []
    context = {
        "nav": "health",
        "roles": [
            (role, sign, sign is not None and sign.age_s(now) < SIGN_LATE_S,
             sign.age_s(now) if sign else 0, now - sign.started_at if sign else 0)
            for role, sign in signs
        ],
        "watch": watch.numbers if watch else {},
        "troubles": guard.numbers.get("troubles", {}) if guard else {},
        "channel": settings.CONFIG.guard.webhook or settings.CONFIG.guard.mail_to,
        "restarts": restarts[::-1],
        "doors": list_doors(),
        "journal_size": journal.size(),
        "checkpoint": journal.last_checkpoint(),
        "key": fingerprint(installation_signer().public_key),
        "waiting": alerts.count_waiting(request.scope),
    }  # fmt: skip
    return render(request, "console/health.html", context)


@needs("installation:read")
def catalogue(request: Asked) -> HttpResponse:
    """Every plug-in with its settings, generated from what it says of itself."""
    homes = [(title, [module.SPEC for module in load(home).values()]) for title, home in HOMES]
    return render(request, "console/catalogue.html", {"nav": "catalogue", "homes": homes})
