"""The API of the installation itself: the provider, the roles' signs of life, the journal; refused input."""

import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Field, Router, Schema

from forestall import __version__
from forestall.estate.actions import rename_provider
from forestall.estate.queries import provider
from forestall.intake import queries as intake
from forestall.intake.models import RejectedInput
from forestall.journal import queries as journal
from forestall.kernel.cursors import Page, cut
from forestall.kernel.signs import read_sign
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, after_time, cursor_of, limit_of, one
from forestall.web.operations import ROLES, SIGN_LATE_S

router = Router(tags=["installation"])
READ, WRITE = May("installation:read"), May("installation:write")


class RoleOut(Schema):
    """A role of this installation: whether it gives signs of life, and its own figures."""

    name: str
    up: bool
    age_s: float | None
    numbers: dict[str, Any]


class JournalOut(Schema):
    """The size and root of the journal: who keeps them can later see that nothing was rewritten."""

    size: int
    root: str
    checkpoint: str | None


class InstallationOut(Schema):
    """This installation."""

    version: str
    provider: str
    timezone: str
    url: str
    roles: list[RoleOut]
    journal: JournalOut


class ProviderChange(Schema):
    """The provider's own name and zone; what is left out stays."""

    provider: str | None = None
    timezone: str | None = None


class RejectedOut(Schema):
    """Input that was refused. `client` is null when it is not known whose it was; `raw` is what came, cut to
    a limit, with bytes that are no text replaced."""

    id: str
    client: str | None = Field(validation_alias="client_id")
    door: str
    sender: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime
    raw: str

    @staticmethod
    def resolve_raw(row: RejectedInput) -> str:
        """As text."""
        return bytes(row.raw).decode(errors="replace")


@router.get("/installation", auth=READ, response=InstallationOut)
def get_installation(request: HttpRequest) -> dict[str, Any]:
    """The provider, whether every role is alive, the journal's root."""
    own = provider(seen_by(request))
    checkpoint = journal.last_checkpoint()
    return {
        "version": __version__,
        "provider": own.name,
        "timezone": own.timezone,
        "url": settings.CONFIG.url,
        "roles": [_role(name) for name in ROLES],
        "journal": {
            "size": journal.size(),
            "root": journal.root().hex(),
            "checkpoint": checkpoint.note if checkpoint else None,
        },
    }


@router.patch("/installation", auth=WRITE, response=InstallationOut)
def change_installation(request: HttpRequest, body: ProviderChange) -> dict[str, Any]:
    """Change the provider's name or zone."""
    own = provider(seen_by(request))
    rename_provider(
        seen_by(request), name=body.provider or own.name, timezone_name=body.timezone or own.timezone
    )
    return get_installation(request)


@router.get("/rejected", auth=READ, response=Listed[RejectedOut])
def list_rejected(
    request: HttpRequest,
    door: str = "",
    client: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Refused input, the latest first."""
    rows = intake.list_rejected(
        seen_by(request), door=door, client=client, after=after_time(cursor), limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.last_at, row.pk))


@router.get("/rejected/{rejected}", auth=READ, response=RejectedOut)
def get_rejected(request: HttpRequest, rejected: str) -> RejectedInput:
    """One kind of refused input from one sender."""
    return one(request, intake.find_rejected, rejected)


def _role(name: str) -> dict[str, Any]:
    sign = read_sign(settings.DATA.run, name)
    age_s = sign.age_s(time.time()) if sign else None
    return {
        "name": name,
        "up": age_s is not None and age_s < SIGN_LATE_S,
        "age_s": age_s,
        "numbers": sign.numbers if sign else {},
    }
