"""The ledger's other half: claims what is due, sends it, and writes down what became of it.

What still fires goes first, one message per alert and channel; what is over by now and could not be sent in
time goes as one digest per channel. A recovery is sent only where its opening arrived. A crash while sending
means at most one repetition of that message, under the same identifier.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Q

from forestall.alerts import wording
from forestall.alerts.channels import open_settings, send_through
from forestall.alerts.models import Channel, Delivery
from forestall.alerts.telling import ACTOR
from forestall.alerts.values import Message, SendFailed
from forestall.findings.gate import every
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

LEASE = timedelta(minutes=3)
BACKOFF_FIRST_S = 2.0
BACKOFF_MOST_S = 45.0  # a channel that comes back is used again within a minute
JITTER = 0.2
GIVE_UP_AFTER = timedelta(hours=24)
LATE_AFTER = timedelta(minutes=5)  # what is over and waited longer than this goes into the digest
CHANNELS_AT_ONCE = 8
PASS_MOST_S = 60.0
LOOK_AT_MOST = 2000

Send = Callable[[str, Mapping[str, Any], Message], None]


@dataclass(slots=True)
class Delivered:
    """What one pass did, in rows of the ledger."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    superseded: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Parcel:
    """One message, and the rows of the ledger that it stands for."""

    channel: Channel
    message: Message
    rows: list[Delivery]
    settings: dict[str, Any] = field(default_factory=dict)


def deliver_due(now: datetime, *, most: int = 200, send: Send = send_through) -> Delivered:
    """Send what is due, at most `most` messages, several channels at a time; a channel that fails is left
    alone until the next pass. Takes about PASS_MOST_S at most: run it apart from the judging.

    `send` is how a notifier is reached; a simulation gives its own.
    """
    done = Delivered()
    parcels = _pack(now, most, done)
    ends_at = time.monotonic() + PASS_MOST_S
    with ThreadPoolExecutor(CHANNELS_AT_ONCE) as pool:
        while any(parcels.values()) and time.monotonic() < ends_at:
            wave = [waiting.pop(0) for waiting in list(parcels.values())[:CHANNELS_AT_ONCE] if waiting]
            claimed = [parcel for parcel in wave if _claim(parcel, now)]
            outcomes = pool.map(lambda parcel: _attempt(parcel, send), claimed)
            for parcel, failure in zip(claimed, list(outcomes), strict=True):
                _settle(parcel, failure, now, done)
                if failure is not None and not failure.permanent:
                    parcels[parcel.channel.pk] = []
            parcels = {key: waiting for key, waiting in parcels.items() if waiting}
    done.waiting = every(Delivery).filter(state="due").count()
    return done


def _pack(now: datetime, most: int, done: Delivered) -> dict[str, list[_Parcel]]:
    """The messages that are due, by channel: what still fires first, the worst of it first."""
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    rows = list(
        every(Delivery)
        .filter(free, state="due", due_at__lte=now)
        .select_related("alert", "channel", "alert__client")
        .order_by("alert__recovered_at", "made_at", "pk")[:LOOK_AT_MOST]
    )
    firing: list[_Parcel] = []
    over: dict[str, list[Delivery]] = defaultdict(list)
    for together in _by_alert_and_channel(rows).values():
        channel = together[0].channel
        if not channel.enabled:
            _end(together, "given_up", "the channel was switched off", now, done)
            continue
        if together[0].alert.recovered_at is None:
            parcel = _parcel_of_firing(together, now, done)
            if parcel is not None:
                firing.append(parcel)
        else:
            over[channel.pk] += together
    firing.sort(key=lambda parcel: (-parcel.rows[0].alert.concern, parcel.rows[0].made_at))
    parcels: dict[str, list[_Parcel]] = defaultdict(list)
    after = [parcel for rows_over in over.values() for parcel in _parcels_of_over(rows_over, now, done)]
    for parcel in [*firing, *after][:most]:
        parcels[parcel.channel.pk].append(parcel)
    return parcels


def _by_alert_and_channel(rows: Sequence[Delivery]) -> dict[tuple[str, str], list[Delivery]]:
    found: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.occurrence, row.made_at, row.pk)):
        found[row.alert_id, row.channel_id].append(row)
    return found


def _parcel_of_firing(rows: list[Delivery], now: datetime, done: Delivered) -> _Parcel | None:
    """The one message of an alert that still fires: its opening if that was not sent yet, else the newest
    step; the others say nothing new. A recovery of an earlier occurrence goes when nothing newer does."""
    current = [row for row in rows if row.occurrence == row.alert.occurrence and not _is_recovery(row)]
    if rows[0].alert.acknowledged_at is not None:
        reminders = [row for row in current if row.step.startswith("repeat")]
        _end(reminders, "superseded", "it was acknowledged before this reminder was sent", now, done)
        current = [row for row in current if row not in reminders]
        rows = [row for row in rows if row not in reminders]
    opening = [row for row in current if row.step.startswith("opened")]
    chosen = opening[0] if opening else current[-1] if current else rows[-1] if rows else None
    if chosen is None:
        return None
    if not current and not (_is_recovery(chosen) and _was_told(chosen)):
        return None  # of an occurrence that is over: the next message of this alert says so
    rest = [row for row in rows if row is not chosen]
    _end(rest, "superseded", "a newer message of the same alert says more", now, done)
    return _Parcel(chosen.channel, _message(chosen), [chosen])


def _parcels_of_over(rows: list[Delivery], now: datetime, done: Delivered) -> list[_Parcel]:
    """What is over: recoveries one by one while they are fresh and their opening arrived, the rest as one
    digest."""
    single: list[_Parcel] = []
    digest: list[Delivery] = []
    for together in _by_alert_and_channel(rows).values():
        recovery = next((row for row in reversed(together) if _is_recovery(row)), None)
        fresh = recovery is not None and now - recovery.made_at < LATE_AFTER
        if recovery is not None and fresh and _was_told(recovery):
            rest = [row for row in together if row is not recovery]
            _end(rest, "superseded", "it was over before this could be sent", now, done)
            single.append(_Parcel(recovery.channel, _message(recovery), [recovery]))
        else:
            digest += together
    return [*single, _digest(digest, now)] if digest else single


def _digest(rows: list[Delivery], now: datetime) -> _Parcel:
    rows = sorted(rows, key=lambda row: (row.made_at, row.pk))
    alerts = list({row.alert_id: row.alert for row in rows}.values())
    lines = [
        f"{alert.client.name} · {alert.title} · {wording.say_time(alert.opened_at)} to"
        f" {wording.say_time(alert.recovered_at or now)}"
        for alert in alerts
    ]
    key = hashlib.sha256("".join(sorted(row.pk for row in rows)).encode()).hexdigest()[:24]
    title = f"{len(lines)} alert{'' if len(lines) == 1 else 's'} came and went"
    client = rows[0].alert.client.name if len({row.client_id for row in rows}) == 1 else "several clients"
    text = wording.digest_text(lines, since=rows[0].made_at)
    message = Message(
        id=f"digest-{key}",
        thread=f"digest-{key}",
        step="digest",
        severity="recovered",
        client=client,
        asset="",
        title=title,
        reason=text,
        subject=f"[recovered] {title} while this could not be sent",
        text=text,
        alerts=[alert.pk for alert in alerts][:500],
        at=now.isoformat(),
    )
    return _Parcel(rows[0].channel, message, rows)


def _is_recovery(row: Delivery) -> bool:
    return row.step.startswith("recovered")


def _was_told(recovery: Delivery) -> bool:
    """Whether anything of that occurrence was sent on that channel."""
    sent = every(Delivery).filter(
        alert=recovery.alert_id, channel=recovery.channel_id, occurrence=recovery.occurrence, state="sent"
    )
    return sent.exclude(step__startswith="recovered").exists()


def _message(row: Delivery) -> Message:
    return msgspec.convert(row.message, Message)


def _claim(parcel: _Parcel, now: datetime) -> bool:
    """Take the rows for this process; rows that somebody else took fall out. False when none is left."""
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    mine = []
    for row in parcel.rows:
        rows = every(Delivery).filter(free, pk=row.pk, state="due")
        if rows.update(leased_until=now + LEASE, attempts=row.attempts + 1):
            row.attempts += 1
            mine.append(row)
    if len(mine) < len(parcel.rows) and parcel.message.step == "digest" and mine:
        parcel.message = _digest(mine, now).message
    parcel.rows = mine
    if not mine:
        return False
    try:
        parcel.settings = open_settings(parcel.channel)
    except (Trouble, ValueError) as error:
        parcel.settings = {"": SendFailed(f"the channel's settings cannot be used: {error}")}
    return True


def _attempt(parcel: _Parcel, send: Send) -> SendFailed | None:
    """One attempt, in a thread of its own; no database here. A bug of a notifier is a failure like others."""
    wrong = parcel.settings.get("")
    if isinstance(wrong, SendFailed):
        return wrong
    try:
        send(parcel.channel.notifier, parcel.settings, parcel.message)
    except SendFailed as failure:
        return failure
    except Exception as error:
        return SendFailed(f"the notifier {parcel.channel.notifier} failed: {type(error).__name__}")
    return None


def _settle(parcel: _Parcel, failure: SendFailed | None, now: datetime, done: Delivered) -> None:
    if failure is None:
        with transaction.atomic():
            keys = [row.pk for row in parcel.rows]
            every(Delivery).filter(pk__in=keys).update(state="sent", sent_at=now, leased_until=None, error="")
            for row in parcel.rows:
                _journal("delivery.sent", row, now, {"message": parcel.message.id})
        done.sent += len(parcel.rows)
        return
    for row in parcel.rows:
        if failure.permanent or now - row.made_at >= GIVE_UP_AFTER:
            _end([row], "given_up", failure.reason, now, done)
        else:
            every(Delivery).filter(pk=row.pk, state="due").update(
                due_at=now + timedelta(seconds=backoff_s(row.attempts, row.pk)),
                leased_until=None,
                error=failure.reason[:500],
            )
            done.failed += 1


def backoff_s(attempts: int, key: str) -> float:
    """Seconds until the next attempt: doubled each time up to a maximum, spread by the row's identifier."""
    base = min(BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 20), BACKOFF_MOST_S)
    draw = int.from_bytes(hashlib.sha256(f"{key}.{attempts}".encode()).digest()[:4], "big") / 2**32
    return base * (1 + JITTER * (2 * draw - 1))


def _end(rows: Sequence[Delivery], state: str, why: str, now: datetime, done: Delivered) -> None:
    for row in rows:
        with transaction.atomic():
            ended = every(Delivery).filter(pk=row.pk, state="due")
            if not ended.update(state=state, error=why[:500], leased_until=None):
                continue
            if state == "given_up":
                done.given_up += 1
                _journal("delivery.given_up", row, now, {"why": why[:500]})
            else:
                done.superseded += 1
                _journal("delivery.superseded", row, now, {"why": why[:500]})


def _journal(kind: str, row: Delivery, now: datetime, more: dict[str, Any]) -> None:
    append(
        kind,
        client=row.client_id,
        subject=row.pk,
        actor=ACTOR,
        at=now,
        body={"alert": row.alert_id, "step": row.step, "channel": row.channel_id, **more},
    )
