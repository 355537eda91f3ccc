"""The API of credentials: what collectors sign in to devices with. What is secret is never given back."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Field, Router, Schema

from forestall.estate import credentials
from forestall.estate.models import Credential
from forestall.kernel.credentials import KINDS
from forestall.kernel.cursors import Page, cut
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, after_name, cursor_of, limit_of, one

router = Router(tags=["credentials"])
READ, WRITE = May("estate:read"), May("estate:write")
FIELDS = "; ".join(f"{kind.name}: {', '.join(one.name for one in kind.fields)}" for kind in KINDS.values())


class CredentialIn(Schema):
    """A new credential; `site` "" is for all sites of the client."""

    client: str
    name: str
    kind: str = Field(examples=["ssh"])
    fields: dict[str, str] = Field(description=f"By kind: {FIELDS}.")
    site: str = ""


class CredentialChange(Schema):
    """What is left out stays; `fields` replaces all of them. `site` "" is for all sites."""

    name: str | None = None
    site: str | None = None
    fields: dict[str, str] | None = None


class CredentialOut(Schema):
    """A credential without what is secret in it."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    name: str
    kind: str
    user: str
    made_at: datetime
    changed_at: datetime


class CredentialListed(CredentialOut):
    """With what uses it: how many probes, how many times it was signed in with, and when last."""

    probes: int = Field(validation_alias="probe_count")
    uses: int = Field(validation_alias="use_count")
    used_at: datetime | None


@router.get("/credentials", auth=READ, response=Listed[CredentialListed])
def list_credentials(
    request: HttpRequest, client: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Credentials by name."""
    rows = credentials.list_credentials(
        seen_by(request), client=client, after=after_name(cursor), limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.name, row.pk))


@router.post("/credentials", auth=WRITE, response={201: CredentialOut})
def add_credential(request: HttpRequest, body: CredentialIn) -> tuple[int, Credential]:
    """Add a credential. It is sealed, and what is secret in it is never given back."""
    return 201, credentials.add_credential(seen_by(request), **body.model_dump())


@router.get("/credentials/{credential}", auth=READ, response=CredentialOut)
def get_credential(request: HttpRequest, credential: str) -> Credential:
    """A credential."""
    return one(request, credentials.find_credential, credential)


@router.patch("/credentials/{credential}", auth=WRITE, response=CredentialOut)
def change_credential(request: HttpRequest, credential: str, body: CredentialChange) -> Credential:
    """Rename a credential, or replace what is in it; collectors have it with their next work list."""
    row = one(request, credentials.find_credential, credential)
    return credentials.change_credential(seen_by(request), row, **body.model_dump())


@router.delete("/credentials/{credential}", auth=WRITE, response={204: None})
def remove_credential(request: HttpRequest, credential: str) -> tuple[int, None]:
    """Remove a credential that no probe uses any more."""
    credentials.remove_credential(seen_by(request), one(request, credentials.find_credential, credential))
    return 204, None
