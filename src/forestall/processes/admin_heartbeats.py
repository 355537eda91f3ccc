"""Heartbeats from the shell."""

import json
from typing import Annotated

import typer

from forestall.processes.admin_common import Data, Json, asset_called, shell_scope, show
from forestall.processes.setup import installation

heartbeat_group = typer.Typer(no_args_is_help=True, help="Heartbeats: jobs that ping when they end.")


@heartbeat_group.command("add")
def heartbeat_add(
    asset: str,
    name: str,
    client: str = "",
    period: Annotated[int, typer.Option(help="It pings every so many seconds.")] = 86_400,
    grace: Annotated[int, typer.Option(help="It may be so many seconds late.")] = 3_600,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A new heartbeat of an asset; prints the address that the job pings.

    Example: forestall heartbeat add srv1 "nightly backup" --period 86400 --grace 3600
    """
    found = installation(data)
    from forestall.intake.heartbeats import add_heartbeat, address_of

    row = add_heartbeat(
        shell_scope(), asset=asset_called(asset, client), name=name, period_s=period, grace_s=grace
    )
    address = address_of(row, found.config.url)
    print(json.dumps({"id": row.pk, "name": row.name, "ping_url": address}) if as_json else address)


@heartbeat_group.command("list")
def heartbeat_list(data: Data = None, as_json: Json = False) -> None:
    """All heartbeats and how they stand.

    Example: forestall heartbeat list
    """
    installation(data)
    from django.utils import timezone

    from forestall.intake.heartbeats import list_heartbeats, state_of

    now = timezone.now()
    rows = [
        {
            "id": row.pk,
            "asset": row.asset.name,
            "name": row.name,
            "state": state_of(row, now),
            "pinged_at": row.pinged_at.isoformat() if row.pinged_at else "",
        }
        for row in list_heartbeats(shell_scope())
    ]
    show(rows, as_json=as_json, empty="No job pings yet. Add one: forestall heartbeat add ASSET NAME")
