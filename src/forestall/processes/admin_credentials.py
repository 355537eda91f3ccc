"""Credentials from the shell: secrets are asked for or read from standard input, never from the command."""

import json
import sys
from collections.abc import Collection
from typing import Annotated, Any

import typer

from forestall.kernel.credentials import KINDS, VALUE_MAX_CHARS, CredentialKind
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting
from forestall.processes.admin_common import Data, Json, ask_secret, client_called, shell_scope, show
from forestall.processes.setup import installation

credential_group = typer.Typer(no_args_is_help=True, help="What collectors sign in to devices with.")
PRIVATE_KEY = "private_key"
INPUT_MAX_CHARS = 4 * VALUE_MAX_CHARS

Given = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of what is no secret, repeated.")]
Also = Annotated[list[str] | None, typer.Option("--ask", help="A secret that is asked for too, repeated.")]


@credential_group.command("add")
def credential_add(
    name: str,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")],
    client: Annotated[str, typer.Option(help="Whose devices it opens.")],
    site: Annotated[str, typer.Option(help="Identifier of the one site for which it is; else all.")] = "",
    given: Given = None,
    ask: Also = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A new credential. Its secrets are asked for; when standard input is a file or a pipe they are read from
    it: one value as it is, or several as a JSON object by field.

    Example: forestall credential add switches --client "Alder Dental" --kind ssh --set user=reader < password
    """
    installation(data)
    from forestall.estate.credentials import add_credential

    row = add_credential(
        shell_scope(), client=client_called(client).pk, name=name, kind=kind, site=site,
        fields=_fields(_kind(kind), given, ask),
    )  # fmt: skip
    print(json.dumps({"id": row.pk, "name": row.name}) if as_json else row.pk)


@credential_group.command("replace")
def credential_replace(
    credential: Annotated[str, typer.Argument(help="Its identifier.")],
    given: Given = None,
    ask: Also = None,
    data: Data = None,
) -> None:
    """Other contents for a credential; what is left out is gone. Secrets are read as `add` reads them.

    Example: forestall credential replace 05JQ8WZK3N7RT --set user=reader < password.txt
    """
    installation(data)
    from forestall.estate.credentials import change_credential

    row = _found(credential)
    change_credential(shell_scope(), row, fields=_fields(_kind(row.kind), given, ask))
    print(f"{row.name} is replaced; collectors have it within 15 seconds")


@credential_group.command("remove")
def credential_remove(
    credential: Annotated[str, typer.Argument(help="Its identifier.")], data: Data = None
) -> None:
    """Delete a credential that no probe uses.

    Example: forestall credential remove 05JQ8WZK3N7RT
    """
    installation(data)
    from forestall.estate.credentials import remove_credential

    row = _found(credential)
    remove_credential(shell_scope(), row)
    print(f"{row.name} is gone")


@credential_group.command("list")
def credential_list(client: str = "", data: Data = None, as_json: Json = False) -> None:
    """Credentials without what is secret in them.

    Example: forestall credential list --client "Alder Dental"
    """
    installation(data)
    from forestall.estate.credentials import list_credentials

    owner = client_called(client).pk if client else ""
    found: list[Any] = list(list_credentials(shell_scope(), client=owner))
    rows = [
        {
            "id": row.pk,
            "client": row.client.name,
            "name": row.name,
            "kind": row.kind,
            "user": row.user,
            "probes": row.probe_count,
            "used_at": row.used_at.isoformat() if row.used_at else "",
        }
        for row in found
    ]
    show(rows, as_json=as_json, empty="No credential is kept. Add one: forestall credential add NAME …")


def credential_called(name: str, asset: Any, kinds: Collection[str]) -> Any:
    """The credential of that name or identifier that a probe of the asset shall have; None for ""."""
    from forestall.estate.credentials import credential_for, list_credentials

    rows = list_credentials(shell_scope(), client=asset.client_id) if name else []
    found = next((row.pk for row in rows if name.upper() == row.pk or name.lower() == row.name.lower()), name)
    return credential_for(shell_scope(), asset, found, kinds=kinds)


def _found(identifier: str) -> Any:
    from forestall.estate.credentials import find_credential

    row = find_credential(shell_scope(), identifier.upper())
    if row is None:
        raise Trouble(f"there is no credential {identifier!r}", "See forestall credential list.")
    return row


def _kind(name: str) -> CredentialKind:
    if name not in KINDS:
        raise Trouble(f"there is no kind of credential {name!r}", f"Kinds are {', '.join(KINDS)}.")
    return KINDS[name]


def _fields(kind: CredentialKind, given: list[str] | None, ask: list[str] | None) -> dict[str, object]:
    fields: dict[str, object] = dict(part.partition("=")[::2] for part in given or [])
    secrets = {one.name: one for one in kind.fields if one.kind == "secret"}
    for name in secrets.keys() & fields.keys():
        raise Trouble(
            f"{name} is a secret", f"Write --ask {name}: it is asked for, or read from standard input."
        )
    if unknown := [name for name in ask or [] if name not in secrets]:
        raise Trouble(f"{kind.title} has no secret {unknown[0]!r}", f"Its secrets: {', '.join(secrets)}.")
    wanted = [secrets[name] for name in ask or _usual(kind, fields)]
    return fields | (_typed(wanted) if sys.stdin.isatty() else _piped(wanted, secrets))


def _usual(kind: CredentialKind, fields: dict[str, object]) -> list[str]:
    """What is asked for when nobody says what: of SNMP v3 what the protocols need."""
    if kind.name == "snmp_v2c":
        return ["community"]
    if kind.name != "snmp_v3":
        return ["password"]
    return [f"{what}_passphrase" for what in ("auth", "privacy") if fields.get(f"{what}_protocol")]


def _typed(wanted: list[Setting]) -> dict[str, object]:
    if any(one.name == PRIVATE_KEY for one in wanted):
        raise Trouble("a private key is not typed", "Give it from a file: … --ask private_key < FILE")
    return {one.name: ask_secret(one.title) for one in wanted}


def _piped(wanted: list[Setting], secrets: dict[str, Setting]) -> dict[str, object]:
    """Standard input: a JSON object of secrets, else the one that is wanted."""
    text = sys.stdin.read(INPUT_MAX_CHARS)
    if text.lstrip().startswith("{"):
        try:
            found: dict[str, object] = json.loads(text)
        except ValueError as error:
            raise Trouble("standard input is no JSON object", 'Write {"password": "…"}.') from error
        if unknown := sorted(found.keys() - secrets.keys()):
            raise Trouble(f"{unknown[0]!r} is no secret of this kind", f"Its secrets: {', '.join(secrets)}.")
        return found
    if not wanted:
        return {}
    if len(wanted) > 1:
        names = ", ".join(one.name for one in wanted)
        raise Trouble(f"standard input must hold {names}", "Write them as one JSON object.")
    value = text if wanted[0].name == PRIVATE_KEY else text.rstrip("\r\n")
    return {wanted[0].name: value}
