"""Administration from the shell: clients, sites, assets, probes, imports; a look from the shell."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

from forestall.kernel.errors import Trouble
from forestall.processes.admin_common import (
    Ask,
    Data,
    Json,
    Settings,
    asset_called,
    client_called,
    given_settings,
    shell_scope,
    show,
)
from forestall.processes.admin_credentials import credential_called, credential_group
from forestall.processes.admin_heartbeats import heartbeat_group
from forestall.processes.admin_mail import mail_group
from forestall.processes.admin_people import channel_group, token_group, user_group
from forestall.processes.setup import installation

IMPORT_MAX_BYTES = 8 << 20
SPANS = {"m": 60, "h": 3600, "d": 86_400}

admin = typer.Typer()
client_group = typer.Typer(no_args_is_help=True, help="Client businesses.")
site_group = typer.Typer(no_args_is_help=True, help="Sites of clients.")
asset_group = typer.Typer(no_args_is_help=True, help="Assets: what is watched.")
probe_group = typer.Typer(no_args_is_help=True, help="Probes: active questions about assets.")
for name, group in (
    ("client", client_group),
    ("site", site_group),
    ("asset", asset_group),
    ("probes", probe_group),  # `forestall probe` asks one now
    ("heartbeat", heartbeat_group),
    ("credential", credential_group),
    ("user", user_group),
    ("token", token_group),
    ("channel", channel_group),
    ("mail", mail_group),
):
    admin.add_typer(group, name=name)


@client_group.command("add")
def client_add(name: str, timezone: str = "UTC", data: Data = None, as_json: Json = False) -> None:
    """A new client.

    Example: forestall client add "Alder Dental"
    """
    installation(data)
    from forestall.estate.actions import add_client

    client = add_client(shell_scope(), name=name, timezone_name=timezone)
    print(json.dumps({"id": client.pk, "name": client.name}) if as_json else client.pk)


@client_group.command("list")
def client_list(data: Data = None, as_json: Json = False) -> None:
    """All clients.

    Example: forestall client list --json
    """
    installation(data)
    from forestall.estate.queries import list_clients

    rows = [
        {"id": row.pk, "name": row.name, "assets": getattr(row, "asset_count", 0)}
        for row in list_clients(shell_scope())
    ]
    show(rows, as_json=as_json, empty="There is no client yet. Add one: forestall client add NAME")


@site_group.command("add")
def site_add(
    name: str,
    client: Annotated[str, typer.Option(help="Name or identifier.")],
    ranges: Annotated[
        list[str] | None, typer.Option("--range", help="A network that its collectors may ask.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A new site of a client.

    Example: forestall site add "Main office" --client "Alder Dental" --range 192.168.1.0/24
    """
    installation(data)
    from forestall.estate.actions import add_site

    site = add_site(shell_scope(), client=client_called(client).pk, name=name, ranges=ranges or [])
    print(json.dumps({"id": site.pk, "name": site.name}) if as_json else site.pk)


@asset_group.command("add")
def asset_add(
    name: str,
    client: Annotated[str, typer.Option(help="Name or identifier.")],
    kind: Annotated[str, typer.Option(help="server, workstation, switch, website …")] = "server",
    address: Annotated[list[str] | None, typer.Option(help="An address that it sends from.")] = None,
    parent: Annotated[str, typer.Option(help="What it hangs on: name or identifier.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A new asset of a client.

    Example: forestall asset add www.alder.example --client "Alder Dental" --kind website
    """
    installation(data)
    from forestall.estate.actions import add_asset

    owner = client_called(client)
    above = asset_called(parent, owner.pk).pk if parent else ""
    asset = add_asset(
        shell_scope(), client=owner.pk, name=name, kind=kind, addresses=address or [], parent=above
    )
    print(json.dumps({"id": asset.pk, "name": asset.name}) if as_json else asset.pk)


@asset_group.command("list")
def asset_list(client: str = "", data: Data = None, as_json: Json = False) -> None:
    """Assets, of all clients or of one.

    Example: forestall asset list --client "Alder Dental"
    """
    installation(data)
    from forestall.estate.queries import list_assets

    owner = client_called(client).pk if client else ""
    rows = [
        {"id": row.pk, "name": row.name, "kind": row.kind, "client": row.client.name}
        for row in list_assets(shell_scope(), client=owner, limit=500)
    ]
    show(
        rows,
        as_json=as_json,
        empty="There is no asset yet. Add one: forestall asset add NAME --client CLIENT",
    )


@probe_group.command("add")
def probe_add(
    asset: str,
    kind: str,
    target: str,
    client: str = "",
    every: Annotated[int, typer.Option(help="Seconds between two runs.")] = 60,
    collector: Annotated[
        str, typer.Option(help='Identifier, or "own" for the client\'s first one; else the server asks.')
    ] = "",
    credential: Annotated[
        str, typer.Option(help="Name or identifier of what it signs in with (forestall credential add).")
    ] = "",
    setting: Settings = None,
    ask: Ask = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A new probe of an asset.

    Example: forestall probes add web-1 http http://127.0.0.1:8081/ --every 5 --collector own
    """
    installation(data)
    from forestall.collect.asking import PROBES
    from forestall.estate.actions import add_probe
    from forestall.estate.queries import list_collectors
    from forestall.kernel.plugins import load

    plugin = load(PROBES).get(kind)
    if plugin is None:
        raise Trouble(f"there is no probe {kind!r}", f"Probes are {', '.join(load(PROBES))}.")
    given = given_settings(plugin.SPEC, setting, ask)
    try:
        plugin.SPEC.read(given)
    except ValueError as error:
        raise Trouble(str(error), "Correct it with --set NAME=VALUE.") from error
    owner = asset_called(asset, client)
    if collector == "own":
        own = list_collectors(shell_scope(), client=owner.client_id)
        if not own:
            raise Trouble(f"{owner.client.name} has no collector", "Enrol one, or leave --collector out.")
        collector = own[0].pk
    secrets = [one.name for one in plugin.SPEC.settings if one.kind == "secret"]
    made = add_probe(
        shell_scope(), asset=owner, kind=kind, target=target, settings=given, secrets=secrets,
        credential=credential_called(credential, owner, plugin.SPEC.credentials),
        interval_s=every, collector=collector,
    )  # fmt: skip
    print(json.dumps({"id": made.pk}) if as_json else made.pk)


@admin.command("findings")
def findings(client: str = "", data: Data = None, as_json: Json = False) -> None:
    """What is out of spec now, worst first, and why.

    Example: forestall findings --client "Alder Dental"
    """
    installation(data)
    from forestall.findings.queries import list_open

    owner = client_called(client).pk if client else ""
    rows = [
        {
            "state": row.state,
            "client": row.client.name,
            "asset": row.asset.name,
            "rule": row.rule,
            "reason": row.reason,
        }
        for row in list_open(shell_scope(), client=owner).items
    ]
    show(rows, as_json=as_json, empty="Everything is in spec.")


@admin.command("tickets")
def tickets(client: str = "", data: Data = None, as_json: Json = False) -> None:
    """Open tickets.

    Example: forestall tickets
    """
    installation(data)
    from forestall.tickets.queries import list_tickets

    owner = client_called(client).pk if client else ""
    rows = [
        {"number": row.number, "status": row.status, "client": row.client.name, "title": row.title}
        for row in list_tickets(shell_scope(), client=owner).items
    ]
    show(rows, as_json=as_json, empty="There is no open ticket.")


@admin.command("logs")
def logs(
    query: Annotated[str, typer.Argument(help="Words, phrases, field:value; see the console's help.")] = "",
    client: str = "",
    since: Annotated[str, typer.Option(help="15m, 6h, 7d.")] = "1h",
    most: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Search logs, newest last.

    Example: forestall logs 'failed password severity>=warning' --since 6h
    """
    found = installation(data)
    from forestall.estate.queries import assets_by_id
    from forestall.kernel.clock import from_ms
    from forestall.kernel.ids import from_number, to_number
    from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
    from forestall.telemetry.scope import EVERY
    from forestall.telemetry.search import SearchError, search_logs

    if since[-1:] not in SPANS or not since[:-1].isdigit():
        raise Trouble(f"{since!r} is not a span of time", "Write 15m, 6h or 7d.")
    now_ms = int(time.time() * 1000)
    store = Store("127.0.0.1", found.config.port("store"), password=found.data.key("store").hex())
    clients = frozenset({to_number(client_called(client).pk)}) if client else EVERY
    try:
        page = search_logs(
            store, query, clients=clients, from_ms=now_ms - int(since[:-1]) * SPANS[since[-1]] * 1000,
            to_ms=now_ms + 60_000, limit=most,
        )  # fmt: skip
    except SearchError as error:
        raise Trouble(f"{error.message} (at character {error.position + 1})", "Correct the query.") from error
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble("the store does not answer", "Is Forestall running? See forestall doctor.") from error
    known = {
        asset.pk: asset for asset in assets_by_id(shell_scope(), {from_number(o.asset) for o in page.lines})
    }
    for line in reversed(page.lines):
        asset = known.get(from_number(line.asset))  # None: it is gone, its lines are kept
        row = {
            "at": from_ms(line.at_ms).isoformat(timespec="milliseconds"),
            "client": asset.client.name if asset else from_number(line.client),
            "asset": asset.name if asset else from_number(line.asset),
            "severity": line.severity,
            "host": line.host,
            "source": line.source,
            "message": line.message,
        }
        if as_json:
            print(json.dumps(row))
        else:
            print("{at} {client} · {asset} · {host} {source}: {message}".format(**row))


@admin.command("import")
def import_estate(file: Path, data: Data = None) -> None:
    """Clients with their sites and assets from a YAML file; what is there already is left as it is.

    Example: forestall import estate.yaml, with {clients: [{name: Alder Dental, assets: [{name: srv}]}]}
    """
    installation(data)
    from django.db import transaction

    from forestall.estate.actions import add_asset, add_client, add_site
    from forestall.estate.queries import list_assets, list_clients, list_sites

    try:
        if file.stat().st_size > IMPORT_MAX_BYTES:
            raise Trouble(f"{file} is larger than {IMPORT_MAX_BYTES >> 20} MB", "Import it in parts.")
        content = yaml.safe_load(file.read_text())
        wanted = [dict(entry) for entry in content["clients"]]
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise Trouble(
            f"{file} cannot be imported: {error}", "It needs a list `clients:`; see --help."
        ) from error
    made = {"clients": 0, "sites": 0, "assets": 0}
    with transaction.atomic():
        known = {client.name: client for client in list_clients(shell_scope(), limit=100_000)}
        for entry in wanted:
            client = known.get(entry["name"])
            if client is None:
                client = add_client(shell_scope(), name=entry["name"])
                made["clients"] += 1
            sites = {site.name: site for site in list_sites(shell_scope(), client=client.pk)}
            for site in entry.get("sites", []):
                if site["name"] not in sites:
                    sites[site["name"]] = add_site(
                        shell_scope(), client=client.pk, name=site["name"], ranges=site.get("ranges", [])
                    )
                    made["sites"] += 1
            assets = {asset.name: asset for asset in list_assets(shell_scope(), client=client.pk, limit=500)}
            for asset in entry.get("assets", []):
                if asset["name"] in assets:
                    continue
                place = sites.get(asset.get("site", ""))
                above = assets.get(asset.get("parent", ""))
                assets[asset["name"]] = add_asset(
                    shell_scope(), client=client.pk, name=asset["name"], kind=asset.get("kind", "server"),
                    site=place.pk if place else "", parent=above.pk if above else "",
                    addresses=asset.get("addresses", []),
                )  # fmt: skip
                made["assets"] += 1
    print(", ".join(f"{number} {what}" for what, number in made.items()) + " added")
