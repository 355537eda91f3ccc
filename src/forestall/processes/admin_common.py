"""What the commands of administration share: who acts, what is meant by a name, how rows are shown."""

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Spec

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The installation's directory (else FORESTALL_DATA).", metavar="DIR"),
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, repeated.")]
Ask = Annotated[list[str] | None, typer.Option("--ask", help="A secret setting that is asked for, repeated.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def shell_scope() -> Any:
    """Whoever may read the data directory administers all of it."""
    from forestall.estate.tenancy import Scope

    return Scope(actor=f"shell:{getpass.getuser()}", everything=True)


def show(rows: list[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Rows as a table, or as JSON for programs; `empty` is said when there is none."""
    if as_json:
        print(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        print(empty)
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    print("  ".join(key.upper().ljust(width) for key, width in widths.items()).rstrip())
    for row in rows:
        print("  ".join(str(row[key]).ljust(width) for key, width in widths.items()).rstrip())


def client_called(name: str) -> Any:
    """A client by identifier or name."""
    from forestall.estate.queries import find_client, list_clients

    found = find_client(shell_scope(), name.upper()) or next(
        (
            client
            for client in list_clients(shell_scope(), limit=100_000)
            if client.name.lower() == name.lower()
        ),
        None,
    )
    if found is None:
        raise Trouble(f"there is no client {name!r}", "See forestall client list.")
    return found


def asset_called(name: str, client: str) -> Any:
    """An asset by identifier or name."""
    from forestall.estate.queries import assets_named, find_asset

    known = find_asset(shell_scope(), name.upper())
    if known is not None:
        return known
    owner = client_called(client).pk if client else ""
    found = assets_named(shell_scope(), name, client=owner)
    if len(found) != 1:
        raise Trouble(
            f"there are {len(found)} assets called {name!r}" if found else f"there is no asset {name!r}",
            "Give its identifier, or --client. See forestall asset list.",
        )
    return found[0]


def ask_secret(what: str) -> str:
    """A secret from the keyboard, or a line of standard input: never from a command line."""
    return getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def given_settings(spec: Spec, settings: list[str] | None, ask: list[str] | None) -> dict[str, object]:
    """The settings of a plug-in from `--set` and `--ask`. Required secrets are asked for anyway; a secret on
    the command line is refused, because others on the machine see it there."""
    given: dict[str, object] = dict(part.partition("=")[::2] for part in settings or [])
    secrets = {one.name: one for one in spec.settings if one.kind == "secret"}
    for name in secrets.keys() & given.keys():
        raise Trouble(
            f"{name} is a secret", f"Write --ask {name}: it is asked for, or read from standard input."
        )
    for name in ask or []:
        if name not in secrets:
            raise Trouble(
                f"{spec.name} has no secret {name!r}", f"Its secrets: {', '.join(secrets) or 'none'}."
            )
    for name, setting in secrets.items():
        if setting.required or name in (ask or []):
            given[name] = ask_secret(setting.title)
    return given
