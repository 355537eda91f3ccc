"""Alerts as Prometheus sends them to an Alertmanager, and as an Alertmanager's webhook tells them. Pure.

Each becomes an outcome: not well while it fires, well when it is resolved. Prometheus repeats what fires, so
the time of an outcome is when it came. Rules in judge/packs/probes.yaml look for the two kinds by name.

Source: https://prometheus.io/docs/alerting/latest/clients/ and github.com/prometheus/alertmanager,
api/v2/openapi.yaml; https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
"""

import math
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.labels import ITEM_MAX_CHARS, LABELS_MAX, bound_name, spell_item, take_host
from forestall.intake.pushed import OUTCOMES_MAX, Pushed, PushedOutcome, no_logs, no_samples
from forestall.kernel.observations import ANSWER_MAX_CHARS, Outcome

RENEWED, NOTIFIED = "alertmanager", "alert"  # the kinds of outcomes
REASON_MAX_CHARS = 1024
TOLD_IN = ("summary", "description", "message", "title")  # annotations, the best first

Instant = Annotated[datetime, Meta(tz=True)]


class _Alert(Struct, rename="camel"):
    """One alert; a time that is not known is missing or in year 1."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")
    status: str = ""


class _Notice(Struct):
    """What a webhook tells."""

    alerts: list[msgspec.Raw]


def read(body: bytes, *, received_at_ms: int) -> Reading:
    """The outcomes of a body. Raises ValueError when it is neither alerts nor a notice of an Alertmanager."""
    try:
        if body.lstrip()[:1] == b"{":
            kind, alerts = NOTIFIED, msgspec.json.decode(body, type=_Notice).alerts
        else:
            kind, alerts = RENEWED, msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"these are no alerts ({error}): send Alertmanager's API v2, a JSON list, or its webhook"
        ) from error
    if len(alerts) > OUTCOMES_MAX:
        raise ValueError(f"a body has at most {OUTCOMES_MAX} alerts: send smaller batches")
    found: dict[tuple[str, str], PushedOutcome] = {}
    refused: list[Refused] = []
    for place, raw in enumerate(alerts):
        try:
            told = _outcome(kind, msgspec.json.decode(raw, type=_Alert), bytes(raw), received_at_ms)
        except (ValueError, UnicodeDecodeError, RecursionError) as error:
            refused.append(Refused(place, f"this is no alert: {error}"))
            continue
        found[told.host, told.outcome.target] = told
    pushed = Pushed(no_logs(), no_samples(), tuple(found.values()))
    return Reading(pushed, tuple(refused[:REFUSED_MAX]), len(refused))


def _outcome(kind: str, alert: _Alert, raw: bytes, received_at_ms: int) -> PushedOutcome:
    """Raises ValueError."""
    labels = dict(alert.labels)
    name = labels.pop("alertname", "")
    if not name:
        raise ValueError("it has no label alertname")
    if len(labels) > LABELS_MAX:
        raise ValueError(f"it has more than {LABELS_MAX} labels")
    host = take_host(labels)
    resolved = _is_over(alert, received_at_ms)
    said = next((alert.annotations[key] for key in TOLD_IN if alert.annotations.get(key, "").strip()), "")
    reason = " ".join(said.split()) or name
    return PushedOutcome(
        Outcome(
            at_ms=received_at_ms,
            probe="alertmanager",
            kind=kind,
            target=bound_name(name + spell_item(labels), ITEM_MAX_CHARS - len(kind) - 1),
            ok=resolved,
            reason=(f"{reason} (resolved)" if resolved else reason)[:REASON_MAX_CHARS],
            took_ms=math.nan,
            answer=raw.decode()[:ANSWER_MAX_CHARS],
        ),
        host=host,
    )


def _is_over(alert: _Alert, now_ms: int) -> bool:
    """Whether it no longer fires. Prometheus says when it ends; a firing one ends in the future."""
    if alert.status:
        return alert.status == "resolved"
    return alert.ends_at is not None and alert.ends_at.year > 1 and alert.ends_at.timestamp() * 1000 <= now_ms
