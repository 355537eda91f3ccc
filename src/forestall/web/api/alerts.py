"""The API of alerts: what people were told and acknowledged, evidence, windows, channels, the ledger."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.alerts import actions, channels, queries
from forestall.alerts.evidence import export_document
from forestall.alerts.models import Channel
from forestall.kernel.cursors import Page
from forestall.web.api.auth import May, seen_by
from forestall.web.api.findings import FindingOut
from forestall.web.api.paging import Listed, cursor_of, limit_of

router = Router(tags=["alerts"])
READ, WRITE = May("alerts:read"), May("alerts:write")
CHANNEL_READ, CHANNEL_WRITE = May("installation:read"), May("installation:write")


class AlertOut(Schema):
    """Findings with one cause, as a person is told of them."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    state: str
    severity: str
    title: str
    reason: str
    opened_at: datetime
    told_at: datetime | None
    occurrence: int
    explained_by: str | None = Field(validation_alias="explained_by_id")
    acknowledged_at: datetime | None
    acknowledged_by: str
    recovered_at: datetime | None
    quiet_because: str


class EvidenceOut(Schema):
    """A sealed bundle: its SHA-256 stands in the journal at `journal_seq`."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    finding: str = Field(validation_alias="finding_id")
    sha256: str
    size_bytes: int
    sealed_at: datetime
    journal_seq: int


class DeliveryOut(Schema):
    """A line of the ledger: who was told what, when, with what success."""

    id: str
    client: str = Field(validation_alias="client_id")
    alert: str = Field(validation_alias="alert_id")
    channel: str = Field(validation_alias="channel_id")
    step: str
    state: str
    made_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    error: str


class AlertDetails(AlertOut):
    """An alert with its findings, evidence and ledger."""

    findings: list[FindingOut]
    evidence: list[EvidenceOut]
    deliveries: list[DeliveryOut]
    explains: list[str]


class NoteIn(Schema):
    """A few words."""

    note: str = ""


class WindowIn(Schema):
    """Planned maintenance of a client, a site or an asset."""

    client: str
    title: str
    starts_at: datetime
    ends_at: datetime
    site: str | None = None
    asset: str | None = None


class WindowOut(Schema):
    """A maintenance window."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    asset: str | None = Field(validation_alias="asset_id")
    title: str
    starts_at: datetime
    ends_at: datetime
    made_by: str


class ChannelIn(Schema):
    """A way to tell somebody; without `client` for all clients. `settings` as the notifier has them."""

    notifier: str = Field(examples=["webhook"])
    title: str
    client: str | None = None
    settings: dict[str, Any] = Field({}, examples=[{"url": "https://example.org/hook", "secret": "shared"}])


class ChannelChange(Schema):
    """What is left out stays; secrets that are left out of `settings` stay too."""

    title: str | None = None
    settings: dict[str, Any] | None = None
    enabled: bool | None = None


class ChannelOut(Schema):
    """A channel; a secret setting is null."""

    id: str
    client: str | None = Field(validation_alias="client_id")
    notifier: str
    title: str
    settings: dict[str, Any]
    enabled: bool

    @staticmethod
    def resolve_settings(row: Channel) -> dict[str, Any]:
        """Never a secret."""
        return channels.shown_settings(row)


@router.get("/alerts", auth=READ, response=Listed[AlertOut])
def list_alerts(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    recovered: bool = False,
    explained: bool = False,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Open alerts, worst first; `explained` adds those that another one explains. With `recovered` those
    that are over instead, the last first, without further pages."""
    if recovered:
        rows = queries.list_recovered(seen_by(request), client=client, asset=asset, most=limit)
        return Page(rows, None)
    return queries.list_open(
        seen_by(request),
        client=client,
        asset=asset,
        with_explained=explained,
        after=cursor or None,
        most=limit,
    )


@router.get("/alerts/{alert}", auth=READ, response=AlertDetails)
def get_alert(request: HttpRequest, alert: str) -> dict[str, Any]:
    """An alert with its findings, evidence and ledger."""
    page = queries.page_of(seen_by(request), alert)
    row = page.alert
    names = [field.validation_alias or name for name, field in AlertOut.model_fields.items()]
    return {str(name): getattr(row, str(name)) for name in names} | {
        "findings": page.findings,
        "evidence": page.evidence,
        "deliveries": page.deliveries,
        "explains": [other.pk for other in page.explains],
    }


@router.post("/alerts/{alert}/acknowledge", auth=WRITE, response=AlertOut)
def acknowledge(request: HttpRequest, alert: str, body: NoteIn) -> Any:
    """Say that you look after it: reminders stop."""
    return actions.acknowledge_alert(seen_by(request), alert, now=timezone.now(), note=body.note)


@router.get("/evidence", auth=READ, response=Listed[EvidenceOut])
def list_evidence(
    request: HttpRequest, asset: str = "", finding: str = "", limit: int = limit_of()
) -> dict[str, Any]:
    """Sealed evidence, the newest first."""
    rows = queries.list_evidence(seen_by(request), asset=asset, finding=finding, most=limit)
    return {"items": rows, "next": None}


@router.get("/evidence/{evidence}", auth=READ, response=EvidenceOut)
def get_evidence(request: HttpRequest, evidence: str) -> Any:
    """A piece of evidence."""
    return queries.get_evidence(seen_by(request), evidence)


@router.get("/evidence/{evidence}/export", auth=READ)
def export_evidence(request: HttpRequest, evidence: str) -> HttpResponse:
    """The bundle with its proof for an outsider; `forestall evidence verify FILE` checks it anywhere."""
    data = export_document(seen_by(request), evidence, now=timezone.now())
    return HttpResponse(
        data,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="evidence-{evidence}.json"'},
    )


@router.get("/deliveries", auth=READ, response=Listed[DeliveryOut])
def list_deliveries(
    request: HttpRequest, alert: str = "", state: str = "", client: str = "", limit: int = limit_of()
) -> dict[str, Any]:
    """The ledger of messages, the newest first."""
    rows = queries.list_deliveries(seen_by(request), alert=alert, state=state, client=client, most=limit)
    return {"items": rows, "next": None}


@router.get("/windows", auth=READ, response=Listed[WindowOut])
def list_windows(request: HttpRequest, client: str = "", over: bool = False) -> dict[str, Any]:
    """Maintenance windows that are on or planned; with `over` those that are past (at most 200)."""
    rows = queries.list_windows(seen_by(request), now=timezone.now(), client=client, over=over)
    return {"items": rows, "next": None}


@router.post("/windows", auth=WRITE, response={201: WindowOut})
def open_window(request: HttpRequest, body: WindowIn) -> tuple[int, Any]:
    """Plan maintenance: nobody is told meanwhile; what is still wrong at its end is told then."""
    return 201, actions.open_window(seen_by(request), **body.model_dump(), now=timezone.now())


@router.delete("/windows/{window}", auth=WRITE, response={204: None})
def close_window(request: HttpRequest, window: str) -> tuple[int, None]:
    """End a window now; one that has not begun is removed."""
    actions.close_window(seen_by(request), window, now=timezone.now())
    return 204, None


@router.get("/channels", auth=CHANNEL_READ, response=Listed[ChannelOut])
def list_channels(request: HttpRequest) -> dict[str, Any]:
    """Channels through which people are told (at most 500)."""
    return {"items": channels.list_channels(seen_by(request)), "next": None}


@router.post("/channels", auth=CHANNEL_WRITE, response={201: ChannelOut})
def add_channel(request: HttpRequest, body: ChannelIn) -> tuple[int, Channel]:
    """Add a channel."""
    given = body.model_dump()
    given["given"] = given.pop("settings")
    return 201, channels.create_channel(seen_by(request), **given, now=timezone.now())


@router.patch("/channels/{channel}", auth=CHANNEL_WRITE, response=ChannelOut)
def change_channel(request: HttpRequest, channel: str, body: ChannelChange) -> Channel:
    """Change a channel."""
    given = body.model_dump()
    given["given"] = given.pop("settings")
    return channels.edit_channel(seen_by(request), channel, **given, now=timezone.now())


@router.delete("/channels/{channel}", auth=CHANNEL_WRITE, response={204: None})
def remove_channel(request: HttpRequest, channel: str) -> tuple[int, None]:
    """Remove a channel."""
    channels.delete_channel(seen_by(request), channel, now=timezone.now())
    return 204, None


@router.post("/channels/{channel}/test", auth=CHANNEL_WRITE, response={204: None})
def test_channel(request: HttpRequest, channel: str) -> tuple[int, None]:
    """Send a message through it that says it is a test; 502 says why it did not arrive."""
    channels.send_test(seen_by(request), channel, now=timezone.now())
    return 204, None
