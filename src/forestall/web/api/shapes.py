"""What the API takes and gives for the estate."""

from datetime import datetime
from typing import Any

from ninja import Field, Schema

from forestall.estate.models import Asset, Person, Probe
from forestall.estate.vault import is_sealed


class ClientIn(Schema):
    """A new client."""

    name: str
    timezone: str = "UTC"


class ClientChange(Schema):
    """What is left out stays."""

    name: str | None = None
    timezone: str | None = None
    keep_logs_days: int | None = None
    keep_samples_days: int | None = None


class ClientOut(Schema):
    """A client. `keep_…_days` null: as the installation keeps them."""

    id: str
    name: str
    timezone: str
    keep_logs_days: int | None
    keep_samples_days: int | None
    created_at: datetime
    archived_at: datetime | None


class SiteIn(Schema):
    """A new site; `ranges` are the networks (CIDR) that its collectors may ask."""

    client: str
    name: str
    ranges: list[str] = []
    address: str = ""


class SiteChange(Schema):
    """What is left out stays."""

    name: str | None = None
    ranges: list[str] | None = None
    address: str | None = None


class SiteOut(Schema):
    """A site."""

    id: str
    client: str = Field(validation_alias="client_id")
    name: str
    ranges: list[str]
    address: str


class ContactIn(Schema):
    """A new contact."""

    client: str
    name: str
    email: str = ""
    phone: str = ""
    site: str = ""


class ContactChange(Schema):
    """What is left out stays; `site` "" takes it away."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    site: str | None = None


class ContactOut(Schema):
    """A contact."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    name: str
    email: str
    phone: str


class AssetIn(Schema):
    """A new asset. `parent` is what it hangs on."""

    client: str
    name: str
    kind: str = Field("server", examples=["server"])
    site: str = ""
    parent: str = ""
    addresses: list[str] = []
    tags: list[str] = []
    notes: str = ""


class AssetChange(Schema):
    """What is left out stays; `site` or `parent` "" takes it away."""

    name: str | None = None
    kind: str | None = None
    site: str | None = None
    parent: str | None = None
    addresses: list[str] | None = None
    tags: list[str] | None = None
    notes: str | None = None


class AssetOut(Schema):
    """An asset."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    parent: str | None = Field(validation_alias="parent_id")
    name: str
    kind: str
    addresses: list[str]
    facts: dict[str, Any]
    notes: str
    tags: list[str]
    created_at: datetime
    archived_at: datetime | None

    @staticmethod
    def resolve_tags(row: Asset) -> list[str]:
        """Their names."""
        return sorted(tag.name for tag in row.tags.all())


class Above(Schema):
    """An asset in a few words."""

    id: str
    name: str
    kind: str


class AssetDetails(AssetOut):
    """An asset with what it hangs on (the nearest first) and what hangs on it."""

    parents: list[Above] = []
    children: list[Above] = Field([], validation_alias="hanging_here")


class BranchOut(Schema):
    """An asset with what hangs on it."""

    asset: Above
    branches: list["BranchOut"]


class TagChange(Schema):
    """Another word."""

    name: str


class TagOut(Schema):
    """A tag."""

    id: str
    client: str = Field(validation_alias="client_id")
    name: str
    asset_count: int = 0


class ProbeIn(Schema):
    """A new probe; `collector` "" lets the server ask. `settings` as the kind of probe has them; `credential`
    is what it signs in with."""

    asset: str
    kind: str = Field(examples=["tcp"])
    target: str = Field(examples=["192.0.2.1:22"])
    settings: dict[str, Any] = {}
    interval_s: int = 60
    collector: str = ""
    credential: str = ""


class ProbeChange(Schema):
    """What is left out stays; secrets that are left out of `settings` stay too. `credential` "": none."""

    target: str | None = None
    settings: dict[str, Any] | None = None
    interval_s: int | None = None
    enabled: bool | None = None
    credential: str | None = None


class ProbeOut(Schema):
    """A probe; a secret setting is null."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    collector: str | None = Field(validation_alias="collector_id")
    credential: str | None = Field(validation_alias="credential_id")
    kind: str
    target: str
    settings: dict[str, Any]
    interval_s: int
    enabled: bool

    @staticmethod
    def resolve_settings(row: Probe) -> dict[str, Any]:
        """Never a secret."""
        return {
            name: None if isinstance(value, str) and is_sealed(value) else value
            for name, value in row.settings.items()
        }


class CollectorOut(Schema):
    """A collector that was enrolled."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    asset: str = Field(validation_alias="asset_id")
    version: str
    platform: str
    enrolled_at: datetime
    last_seen_at: datetime | None


class EnrolmentTokenIn(Schema):
    """A single-use token that lets one machine in; without `asset` it becomes a new one."""

    client: str
    site: str = ""
    asset: str = ""


class EnrolmentTokenOut(Schema):
    """A token that can still be used. Its secret is shown once, when it is made."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    asset: str | None = Field(validation_alias="asset_id")
    made_by: str
    expires_at: datetime


class EnrolmentTokenMade(EnrolmentTokenOut):
    """A fresh token with its secret."""

    secret: str


class PersonIn(Schema):
    """Somebody who signs in; they choose their password through a link."""

    name: str
    email: str = Field(examples=["new.person@example.org"])
    role: str = Field("technician", examples=["read_only"])
    all_clients: bool = False
    clients: list[str] = []


class PersonChange(Schema):
    """What is left out stays."""

    name: str | None = None
    role: str | None = None
    all_clients: bool | None = None
    clients: list[str] | None = None
    active: bool | None = None


class PersonOut(Schema):
    """A person."""

    id: str
    name: str
    email: str
    role: str
    all_clients: bool
    clients: list[str] = []
    active: bool = Field(validation_alias="is_active")
    joined_at: datetime
    last_login: datetime | None


def person_out(row: Person, *, sees: Any) -> dict[str, Any]:
    """A person as a reader sees them: of their clients only those that the reader sees too."""
    clients = [pk for pk in row.clients.values_list("pk", flat=True) if sees(pk)]
    names = ("id", "name", "email", "role", "all_clients", "is_active", "joined_at", "last_login")
    return {name: getattr(row, name) for name in names} | {"clients": sorted(clients)}


class TokenIn(Schema):
    """A new API token; see `rights` for what it `may`. For a program that pushes: `asset` is what it is about
    where no known host is named, the limits hold for it alone (null: as usual)."""

    name: str
    may: list[str] = []
    client: str | None = None
    expires_at: datetime | None = None
    asset: str | None = None
    rate_bytes_per_s: int | None = None
    body_max_bytes: int | None = None


class TokenOut(Schema):
    """An API token. Its secret is shown once, when it is made."""

    id: str
    person: str = Field(validation_alias="person_id")
    client: str | None = Field(validation_alias="client_id")
    asset: str | None = Field(validation_alias="asset_id")
    rate_bytes_per_s: int | None
    body_max_bytes: int | None
    name: str
    may: list[str]
    made_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenMade(TokenOut):
    """A fresh token with its secret."""

    secret: str
