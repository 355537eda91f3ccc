"""The pages of credentials: what collectors sign in to devices with. What is secret is never shown again."""

from collections.abc import Mapping

from django.http import HttpResponse
from django.shortcuts import redirect, render

from forestall.estate import credentials, queries
from forestall.estate.models import Credential
from forestall.kernel.credentials import KINDS, CredentialKind
from forestall.kernel.errors import Trouble
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404

SHOWN = 200


@needs("estate:read")
def credential_list(request: Asked) -> HttpResponse:
    """All credentials that one sees, by name, those of one client if asked for; a form for a new one."""
    scope, given = request.scope, request.GET
    client = seen_or_404(lambda: queries.find_client(scope, given["client"])) if given.get("client") else None
    identifier, _, name = given.get("after", "").partition(" ")
    rows = credentials.list_credentials(
        scope,
        client=client.pk if client else "",
        after=(name, identifier) if name else None,
        limit=SHOWN + 1,
    )
    shown = rows[:SHOWN]
    context = {
        "nav": "credentials",
        "client": client,
        "rows": shown,
        "next": f"{shown[-1].pk} {shown[-1].name}" if len(rows) > SHOWN else "",
        "kinds": list(KINDS.values()),
        "chosen": KINDS.get(given.get("kind", ""), KINDS["ssh"]),
        "clients": queries.clients_like(scope, ""),
    }
    return render(request, "console/credentials.html", context)


@needs("estate:write")
def credential_add(request: Asked) -> HttpResponse:
    """A new credential."""
    scope, given = request.scope, request.POST
    made: list[Credential] = []

    def add() -> None:
        kind = KINDS.get(given.get("kind", ""))
        client = client_given(scope, given)
        if kind is None or not client:
            raise Trouble("a credential is of a client and a kind", "Choose both.")
        made.append(
            credentials.add_credential(
                scope, client=client, name=given.get("name", ""), kind=kind.name, site=given.get("site", ""),
                fields=_fields(kind, given),
            )
        )  # fmt: skip

    if attempt(request, add, "Kept, sealed. Nobody is shown it again; give it to probes now."):
        return redirect("credential", credential=made[0].pk)
    return redirect("credentials")


@needs("estate:read")
def credential_page(request: Asked, credential: str) -> HttpResponse:
    """One credential: which probes have it, who signs in with it, and forms to rename or replace it."""
    scope = request.scope
    row = seen_or_404(lambda: credentials.find_credential(scope, credential))
    context = {
        "nav": "credentials",
        "row": row,
        "kind": KINDS[row.kind],
        "probes": credentials.probes_with(scope, row),
        "uses": credentials.uses_of(scope, row),
        "sites": queries.list_sites(scope, client=row.client_id),
    }
    return render(request, "console/credential.html", context)


@needs("estate:write")
def credential_change(request: Asked, credential: str, what: str) -> HttpResponse:
    """Another name or site, other contents, or away with it."""
    scope, given = request.scope, request.POST
    row = seen_or_404(lambda: credentials.find_credential(scope, credential))
    match what:
        case "rename":
            attempt(
                request,
                lambda: credentials.change_credential(
                    scope, row, name=given.get("name", ""), site=given.get("site", "")
                ),
                "Changed.",
            )
        case "replace":
            attempt(
                request,
                lambda: credentials.change_credential(scope, row, fields=_fields(KINDS[row.kind], given)),
                "Replaced. Collectors have it within 15 seconds.",
            )
        case "remove":
            if attempt(request, lambda: credentials.remove_credential(scope, row), f"{row.name} is gone."):
                return redirect("credentials")
    return redirect("credential", credential=row.pk)


def _fields(kind: CredentialKind, given: Mapping[str, str]) -> dict[str, str]:
    """The fields of a form; a private key comes with the line ends of a browser, and needs its last one."""
    found = {one.name: given.get(f"field_{one.name}", "") for one in kind.fields}
    if found.get("private_key"):
        found["private_key"] = found["private_key"].replace("\r\n", "\n").strip() + "\n"
    return {name: value for name, value in found.items() if value}
