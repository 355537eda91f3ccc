"""The first page, clients, assets, search."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.alerts import queries as alerts
from forestall.backups.queries import board, count_board, plans_of_asset
from forestall.collect.asking import PROBES
from forestall.collect.devices.recipe import recipe_names
from forestall.configs import queries as configs
from forestall.estate import actions, credentials, queries
from forestall.estate.logins import name_logins_of_client
from forestall.estate.models import Asset, Client
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.findings import queries as findings
from forestall.intake.heartbeats import list_heartbeats, state_of
from forestall.judge.values import State
from forestall.keeping.queries import list_holds
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.kernel.plugins import load
from forestall.networks.queries import count_waiting
from forestall.telemetry import read
from forestall.telemetry.client import StoreRefused, StoreUnavailable
from forestall.telemetry.search import search_logs
from forestall.tickets import queries as tickets
from forestall.tickets.before import accounts_of
from forestall.web.access.gate import needs
from forestall.web.console import captures
from forestall.web.console.common import Asked, attempt, client_given, lines_of, seen_or_404
from forestall.web.console.device_numbers import device_of
from forestall.web.telemetry import clients_of_scope, store

HOUR_MS = 3_600_000
HOURS = (1, 6, 24, 168)
FIRST_CHARTS = ("cpu.used_ratio", "memory.used_ratio", "disk.used_ratio", "load.per_core", "probe.took_ms")
NO_CHARTS = (
    "disk.size_bytes", "probe.up", "network.link_up", "service.failed", "forestall.role_up",
    "device.restarted",
)  # fmt: skip
CHARTS_MAX = 24
ITEM_MAX_CHARS = 256
LINES = 50
CLIENTS_SHOWN = 10
PROPOSED_SHOWN = 5
PREVENTED_SHOWN = 5
BACKUPS_SHOWN = 5
CLIENTS_A_PAGE = 200
ASSETS_A_PAGE = 100
BEGINNING = 3  # with fewer assets the empty overview says what to do next


@needs("findings:read")
def overview(request: Asked) -> HttpResponse:
    """What is out of spec now, worst first, and why."""
    scope, now = request.scope, timezone.now()
    numbers = alerts.overview(scope, now=now)
    worst = [state.value for state in State if state not in (State.IN_SPEC, State.DRIFTING, State.SILENT)]
    wrong_of = {client: _wrong(states) for client, states in numbers.per_client.items()}
    return render(
        request,
        "console/overview.html",
        {
            "nav": "overview",
            "numbers": numbers,
            "wrong": findings.list_open(scope, states=worst, most=30).items,
            "silent": findings.list_open(scope, states=[State.SILENT.value], most=20).items,
            "drifting": findings.list_open(scope, states=[State.DRIFTING.value], most=10).items,
            "prevented": alerts.prevented(scope, now=now, most=PREVENTED_SHOWN),
            "alerts": alerts.list_open(scope, most=10).items,
            "clients": [(client, wrong_of.get(client.pk, 0)) for client in _at_risk(scope, wrong_of)],
            "wrong_clients": sum(1 for wrong in wrong_of.values() if wrong),
            "wrong_total": _wrong(numbers.findings) - numbers.findings.get("silent", 0),
            "beginning": BEGINNING - queries.count_assets(scope),
            "proposed": _proposed(scope),
            "backups": board(scope, show="wrong", limit=BACKUPS_SHOWN)[:BACKUPS_SHOWN],
            "backup_counts": count_board(scope),
        },
    )


def _proposed(scope: Scope) -> list[tuple[Client, int]]:
    """Clients at which discovered devices wait for a person, the most first."""
    waiting = sorted(count_waiting(scope).items(), key=lambda one: -one[1])[:PROPOSED_SHOWN]
    clients = {row.pk: row for row in queries.clients_by_id(scope, [client for client, _ in waiting])}
    return [(clients[client], count) for client, count in waiting if client in clients]


def _at_risk(scope: Scope, wrong_of: dict[str, int]) -> list[Client]:
    """The clients with the most that is wrong, then others by name."""
    worst = sorted(wrong_of, key=lambda client: -wrong_of[client])[:CLIENTS_SHOWN]
    found = {client.pk: client for client in queries.clients_by_id(scope, worst)}
    found |= {client.pk: client for client in queries.list_clients(scope, limit=CLIENTS_SHOWN)}
    return sorted(found.values(), key=lambda client: -wrong_of.get(client.pk, 0))[:CLIENTS_SHOWN]


def _wrong(states: dict[str, int]) -> int:
    return sum(count for state, count in states.items() if state != "drifting")


@needs("estate:read")
def client_list(request: Asked) -> HttpResponse:
    """All clients; a form for a new one."""
    if request.method == "POST" and "estate:write" in request.rights:
        attempt(
            request,
            lambda: actions.add_client(request.scope, name=request.POST.get("name", "")),
            "Client added.",
        )
        return redirect("clients")
    per_client = findings.count_open(request.scope).per_client
    clients = queries.list_clients(
        request.scope, after=request.GET.get("after", ""), limit=CLIENTS_A_PAGE + 1
    )
    shown = clients[:CLIENTS_A_PAGE]
    context = {
        "nav": "clients",
        "rows": [(client, _wrong(per_client.get(client.pk, {}))) for client in shown],
        "next": shown[-1].name if len(clients) > CLIENTS_A_PAGE else "",
    }
    return render(request, "console/clients.html", context)


@needs("estate:read")
def client_names(request: Asked) -> HttpResponse:
    """What a field for a client suggests while somebody types its name."""
    found = queries.clients_like(request.scope, request.GET.get("client", ""))
    return render(request, "console/_client_names.html", {"clients": found})


@needs("estate:read")
def site_names(request: Asked) -> HttpResponse:
    """The sites of the client that a form names, as choices; none while the name is not complete."""
    try:
        sites = queries.list_sites(request.scope, client=client_given(request.scope, request.GET))
    except Trouble:
        sites = []
    return render(request, "console/_site_names.html", {"sites": sites})


@needs("estate:read")
def client_page(request: Asked, client: str) -> HttpResponse:
    """One client: what is wrong, its assets, tickets, changes, contacts."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_client(scope, client))
    assets = queries.list_assets(scope, client=row.pk, limit=200)
    changes = configs.list_changes(scope, client=row.pk, limit=10)
    return render(
        request,
        "console/client.html",
        {
            "nav": "clients",
            "client": row,
            "assets": assets,
            "states": findings.worst_states(scope, [asset.pk for asset in assets]),
            "findings": findings.list_open(scope, client=row.pk).items,
            "tickets": tickets.list_tickets(scope, client=row.pk).items,
            "changes": changes,
            "accounts": accounts_of(scope, changes),
            "sites": queries.list_sites(scope, client=row.pk),
            "waiting": count_waiting(scope, client=row.pk).get(row.pk, 0),
            "contacts": queries.list_contacts(scope, client=row.pk),
            "windows": alerts.list_windows(scope, client=row.pk, now=timezone.now()),
            "kinds": ASSET_KINDS,
            "holds": list_holds(scope, client=row.pk, now=timezone.now()),
        },
    )


@needs("estate:write")
def client_add(request: Asked, client: str, what: str) -> HttpResponse:
    """A new site, contact or asset of a client; our accounts on its machines."""
    given, scope = request.POST, request.scope
    row = seen_or_404(lambda: queries.find_client(scope, client))
    match what:
        case "site":
            ranges = lines_of(given.get("ranges", ""))
            attempt(
                request,
                lambda: actions.add_site(scope, client=row.pk, name=given.get("name", ""), ranges=ranges),
                "Site added.",
            )
        case "logins":
            names = lines_of(given.get("login_names", ""))
            attempt(request, lambda: name_logins_of_client(scope, row.pk, names=names), "Login names saved.")
        case "contact":
            attempt(
                request,
                lambda: actions.add_contact(
                    scope, client=row.pk, name=given.get("name", ""),
                    email=given.get("email", ""), phone=given.get("phone", ""),
                ),
                "Contact added.",
            )  # fmt: skip
        case "asset":
            attempt(
                request,
                lambda: actions.add_asset(
                    scope, client=row.pk, name=given.get("name", ""), kind=given.get("kind", ""),
                    site=given.get("site", ""), parent=given.get("parent", ""),
                    addresses=lines_of(given.get("addresses", "")),
                ),
                "Asset added.",
            )  # fmt: skip
    return redirect("client", client=row.pk)


@needs("estate:read")
def asset_list(request: Asked) -> HttpResponse:
    """All assets, by words and kind; a page is by name, the worst of it first."""
    words, kind = request.GET.get("q", ""), request.GET.get("kind", "")
    identifier, _, name = request.GET.get("after", "").partition(" ")
    found = queries.list_assets(
        request.scope,
        words=words,
        kind=kind,
        after=(name, identifier) if name else None,
        limit=ASSETS_A_PAGE + 1,
    )
    rows = found[:ASSETS_A_PAGE]
    following = f"{rows[-1].pk} {rows[-1].name}" if len(found) > ASSETS_A_PAGE else ""
    states = findings.worst_states(request.scope, [asset.pk for asset in rows])
    rows.sort(key=lambda asset: -State(states.get(asset.pk, "in_spec")).concern)
    context = {
        "nav": "assets",
        "rows": rows,
        "next": following,
        "states": states,
        "q": words,
        "kind": kind,
        "kinds": ASSET_KINDS,
    }
    return render(request, "console/assets.html", context)


@needs("telemetry:read")
def asset_page(request: Asked, asset: str) -> HttpResponse:
    """One asset: state, charts, logs, configuration, changes, findings, tickets, on one timeline."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))
    now = timezone.now()
    now_ms, number, clients = to_ms(now), to_number(row.pk), clients_of_scope(scope)
    hours = next((hours for hours in HOURS if str(hours) == request.GET.get("hours")), 6)
    own_findings = findings.of_asset(scope, row.pk, since=now - timedelta(days=7))
    changes = configs.list_changes(scope, asset=row.pk, limit=20)
    own_tickets = tickets.of_asset(scope, row.pk, most=20)
    trouble = ""
    series: list[read.SeriesName] = []
    lines = []
    try:
        series = read.latest(store(), clients, asset=number, now_ms=now_ms)
        page = search_logs(
            store(),
            "",
            clients=clients,
            asset=number,
            from_ms=now_ms - 7 * 24 * HOUR_MS,
            to_ms=now_ms + 60_000,
            limit=LINES,
        )
        lines = page.lines
    except (StoreUnavailable, StoreRefused):
        trouble = (
            "The store does not answer now: numbers and logs are kept in the queue and will be here again."
        )
    series.sort(key=lambda one: (_rank(one.metric), one.metric, one.item))
    item = request.GET.get("item", "")[:ITEM_MAX_CHARS]
    device = device_of(series, item=item)
    timeline = sorted(
        [(finding.opened_at, "finding", finding) for finding in own_findings]
        + [(change.at, "change", change) for change in changes]
        + [(ticket.opened_at, "ticket", ticket) for ticket in own_tickets],
        key=lambda entry: entry[0],
        reverse=True,
    )[:40]
    open_findings = [finding for finding in own_findings if finding.ended_at is None]
    return render(
        request,
        "console/asset.html",
        {
            "nav": "assets",
            "asset": row,
            "state": max(
                (finding.state for finding in open_findings),
                key=lambda s: State(s).concern,
                default="in_spec",
            ),
            "open": open_findings,
            "device": device,
            "item": item,
            "charts": [one for one in device.charts if _rank(one.metric) < 90][:CHARTS_MAX],
            "series": series,
            "hours": hours,
            "all_hours": HOURS,
            "lines": lines,
            "trouble": trouble,
            "versions": configs.latest_versions(scope, asset=row.pk),
            "refusals": configs.list_refusals(scope, asset=row.pk),
            "probes": queries.list_probes(scope, asset=row.pk),
            **_captures(scope, row),
            "collectors": queries.list_collectors(scope, client=row.client_id),
            "plans": plans_of_asset(scope, row.pk),
            "heartbeats": [(one, state_of(one, now)) for one in list_heartbeats(scope, asset=row.pk)],
            "children": queries.children_of(scope, row),
            "timeline": timeline,
            "accounts": accounts_of(scope, changes),
            "tickets": own_tickets,
            "evidence": alerts.list_evidence(scope, asset=row.pk, most=10),
        },
    )


def _captures(scope: Scope, asset: Asset) -> dict[str, Any]:
    """How its configuration is captured, and with what that could begin."""
    found = credentials.list_credentials(scope, client=asset.client_id)
    here = [one for one in found if one.site_id in (None, asset.site_id)]
    probes = queries.list_probes(scope, asset=asset.pk)
    return {
        "captures": [probe for probe in probes if probe.kind == captures.KIND],
        "credentials": [one for one in here if one.kind in load(PROBES)[captures.KIND].SPEC.credentials],
        "recipes": recipe_names(),
    }


def _rank(metric: str) -> int:
    """Charts that people look at first come first; counters that only machines read get none."""
    if metric in FIRST_CHARTS:
        return FIRST_CHARTS.index(metric)
    if metric in NO_CHARTS:
        return 99
    return 50


@needs("telemetry:read")
def series(request: Asked, asset: str) -> HttpResponse:
    """The points of a chart: [times in s, lowest, mean, highest], at most one a pixel."""
    row = seen_or_404(lambda: queries.find_asset(request.scope, asset))
    given = request.GET
    hours = next((hours for hours in HOURS if str(hours) == given.get("hours")), 6)
    pixels = int(given.get("pixels", "600")) if given.get("pixels", "600").isdecimal() else 600
    now_ms = to_ms(timezone.now())
    try:
        found = read.read_series(
            store(),
            clients_of_scope(request.scope),
            asset=to_number(row.pk),
            metric=given.get("metric", ""),
            item=given.get("item", ""),
            from_ms=now_ms - hours * HOUR_MS,
            to_ms=now_ms,
            pixels=max(10, min(pixels, 2000)),
        )
    except (StoreUnavailable, StoreRefused):
        return JsonResponse({"title": "the store does not answer"}, status=503)
    return JsonResponse([[at / 1000 for at in found.at_ms], found.low, found.mean, found.high], safe=False)


@needs("estate:write")
def asset_change(request: Asked, asset: str, what: str) -> HttpResponse:
    """Archive an asset; remove a probe."""
    given, scope = request.POST, request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))
    match what:
        case "archive":
            attempt(request, lambda: actions.archive_asset(scope, row), f"{row.name} is no longer watched.")
            return redirect("assets")
        case "probe-remove":
            probe = seen_or_404(lambda: queries.find_probe(scope, given.get("probe", "")))
            attempt(request, lambda: actions.remove_probe(scope, probe), "Probe removed.")
    return redirect("asset", asset=row.pk)


@needs("estate:read")
def search(request: Asked) -> HttpResponse:
    """The box at the top: clients, assets, tickets; the logs are one click further."""
    words = request.GET.get("q", "").strip()
    found_tickets = (
        tickets.list_tickets(request.scope, words=words, open_only=False, most=20).items if words else []
    )
    context = {"nav": "", "q": words, "found": queries.search(request.scope, words), "tickets": found_tickets}
    return render(request, "console/search.html", context)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The one 404, the same for what is not there and for what is somebody else's."""
    return render(request, "404.html", status=404)
