"""Administration from the shell: people, tokens, and the channels through which people are told."""

import json
from typing import Annotated

import typer

from forestall.kernel.errors import Trouble
from forestall.processes.admin_common import (
    Ask,
    Data,
    Json,
    Settings,
    ask_secret,
    asset_called,
    client_called,
    given_settings,
    shell_scope,
    show,
)
from forestall.processes.setup import installation

user_group = typer.Typer(no_args_is_help=True, help="People who sign in.")
token_group = typer.Typer(no_args_is_help=True, help="API tokens.")
channel_group = typer.Typer(no_args_is_help=True, help="Ways to tell people.")


@user_group.command("add")
def user_add(
    email: str,
    name: Annotated[str, typer.Option()],
    role: str = "technician",
    client: Annotated[list[str] | None, typer.Option(help="Only these clients; else all.")] = None,
    data: Data = None,
) -> None:
    """Somebody who signs in; the password is asked for (or read from standard input).

    Example: forestall user add ana@example.net --name "Ana Silva" --role technician
    """
    installation(data)
    from django.core.exceptions import ValidationError

    from forestall.estate.access import make_person
    from forestall.estate.values import Role

    if role not in list(Role):
        raise Trouble(f"there is no role {role!r}", f"Roles are {', '.join(Role)}.")
    password = ask_secret("Password")
    clients = [client_called(one).pk for one in client or []]
    try:
        person = make_person(
            name=name, email=email, role=Role(role), password=password, all_clients=not clients,
            clients=clients, actor=shell_scope().actor,
        )  # fmt: skip
    except ValidationError as error:
        raise Trouble(" ".join(error.messages), "Choose another password.") from error
    print(person.pk)


@user_group.command("link")
def user_link(email: str, data: Data = None) -> None:
    """A link at which somebody chooses a new password: once, within three days.

    Example: forestall user link ana@example.net
    """
    found = installation(data)
    from forestall.estate.access import note_link
    from forestall.estate.queries import person_called
    from forestall.web.access.links import password_link

    person = person_called(shell_scope(), email)
    note_link(person, actor=shell_scope().actor)
    print(found.config.url.rstrip("/") + password_link(person))


@token_group.command("create")
def token_create(
    may: Annotated[str, typer.Option(help="Rights, separated by commas: estate:read,tickets:write …")],
    name: str = "shell",
    client: Annotated[str, typer.Option(help="Only this client.")] = "",
    person: Annotated[str, typer.Option(help="Whose token: an e-mail address; else the first owner's.")] = "",
    asset: Annotated[str, typer.Option(help="What it pushes is about this asset if no host says else.")] = "",
    rate: Annotated[int, typer.Option(help="Bytes a second that it may push; 0: as usual.")] = 0,
    body_max: Annotated[int, typer.Option(help="Bytes that a body may have; 0: as usual.")] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """An API token; its secret is shown once.

    Example: forestall token create --client "Alder Dental" --asset srv-1 --may intake
    """
    installation(data)
    from forestall.estate.access import make_token
    from forestall.estate.queries import list_people
    from forestall.estate.values import Role

    people = list_people(shell_scope())
    maker = next(
        (one for one in people if (one.email == person.lower() if person else one.role == Role.OWNER)), None
    )
    if maker is None:
        raise Trouble("there is nobody whose token this could be", "Set up an owner first, or give --person.")
    owner = client_called(client).pk if client else None
    token, secret = make_token(
        maker,
        name=name,
        may=[right.strip() for right in may.split(",")],
        client=owner,
        asset=asset_called(asset, client).pk if asset else None,
        rate_bytes_per_s=rate or None,
        body_max_bytes=body_max or None,
    )
    print(json.dumps({"id": token.pk, "token": secret}) if as_json else secret)


@channel_group.command("add")
def channel_add(
    notifier: Annotated[str, typer.Argument(help="smtp, webhook, apprise.")],
    title: Annotated[str, typer.Argument(help="Who or what it reaches.")],
    client: Annotated[str, typer.Option(help="For this client alone; else for all.")] = "",
    setting: Settings = None,
    ask: Ask = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A way to tell people; its secrets are asked for (or read from standard input, one a line).

    Example: forestall channel add smtp "On call" --set to=oncall@example.net
    """
    installation(data)
    from django.utils import timezone

    from forestall.alerts.channels import create_channel, spec_of

    given = given_settings(spec_of(notifier), setting, ask)
    owner = client_called(client).pk if client else None
    channel = create_channel(
        shell_scope(), notifier=notifier, title=title, given=given, client=owner, now=timezone.now()
    )
    print(json.dumps({"id": channel.pk}) if as_json else channel.pk)


@channel_group.command("list")
def channel_list(data: Data = None, as_json: Json = False) -> None:
    """The ways to tell people.

    Example: forestall channel list
    """
    installation(data)
    from forestall.alerts.channels import list_channels

    rows = [
        {
            "id": row.pk,
            "notifier": row.notifier,
            "title": row.title,
            "client": row.client.name if row.client else "all",
            "enabled": row.enabled,
        }
        for row in list_channels(shell_scope())
    ]
    empty = "Nobody is told of anything yet. Add a way: forestall channel add NOTIFIER TITLE"
    show(rows, as_json=as_json, empty=empty)
