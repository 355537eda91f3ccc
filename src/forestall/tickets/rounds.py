"""What only time decides on the desk: warnings and breaches of service levels, and recurring tickets. The
watch calls these every few seconds; each reads an index of what is due, never all tickets."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from forestall.alerts.channels import open_settings, send_through
from forestall.alerts.models import Channel
from forestall.alerts.values import Message, SendFailed
from forestall.findings.gate import every
from forestall.kernel.errors import Trouble
from forestall.tickets import clock as clocks
from forestall.tickets.following import ACTOR, journal, write_entry
from forestall.tickets.models import ClockNotice, Recurring, Ticket
from forestall.tickets.opening import open_from
from forestall.tickets.sla import calendar_of, promised

MOST = 200
SEND_MOST = 50
ATTEMPTS_MOST = 10
BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_MOST = timedelta(minutes=10)
SAYS = {
    "first_soon": "The first response is due soon",
    "first_late": "The first response is late",
    "solve_soon": "The resolution is due soon",
    "solve_late": "The resolution is late",
}

Send = Callable[[str, Mapping[str, Any], Message], None]


def go_round(now: datetime) -> None:
    """All that only time decides."""
    open_recurring(now)
    watch_clocks(now)
    send_notices(now)


def watch_clocks(now: datetime) -> list[str]:
    """Say what is due soon and what is late, each once a ticket; the identifiers of the notices."""
    due = every(Ticket).filter(look_at__lte=now).order_by("look_at").values_list("pk", flat=True)[:MOST]
    return [notice for ticket in due for notice in _look(ticket, now)]


def send_notices(now: datetime, *, send: Send = send_through) -> int:
    """Send what is due over the channels of the ticket's client, each channel once; how many were sent."""
    rows = every(ClockNotice).filter(state="due", due_at__lte=now).order_by("due_at")[:SEND_MOST]
    return sum(_send(row, now, send) for row in rows.select_related("ticket__client", "ticket__asset"))


def open_recurring(now: datetime) -> int:
    """Open the tickets whose time has come; how many. A time that was missed while we were away is made up
    for once, not as often as it was missed."""
    due = every(Recurring).filter(ended_at=None, next_at__lte=now).order_by("next_at")[:MOST]
    count = 0
    for row in due.select_related("template", "client"):
        with transaction.atomic():
            claimed = (
                every(Recurring).filter(pk=row.pk, next_at=row.next_at).update(
                    next_at=next_after(row, now), made=F("made") + 1
                )
            )  # fmt: skip
            if claimed:
                open_from(row.template, client=row.client_id, asset=row.asset_id, now=now)
                count += 1
    return count


def next_after(row: Recurring, now: datetime) -> datetime:
    """The first time of the series after `now`, at the same local time as the first one."""
    zone = clocks.zone_of(row.client.timezone)
    first = row.first_at.astimezone(zone)
    number = 0
    if now > row.first_at:
        days = (now - row.first_at).days
        number = max(0, {"day": days, "week": days // 7, "month": days // 31}[row.every] - 1)
    for step in range(number, number + 200):
        at = clocks.step_of(first, row.every, step)
        if at > now:
            return at
    raise AssertionError("unreachable: every step is at most 31 days")


def _look(ticket: str, now: datetime) -> list[str]:
    with transaction.atomic():
        row = every(Ticket).select_for_update(of=("self",)).select_related("service_level").get(pk=ticket)
        level = row.service_level
        if level is None or row.look_at is None or row.look_at > now:
            return []
        both = promised(row)
        made: list[str] = []
        next_ats: list[datetime] = []
        for name, one in (("first", both.first), ("solve", both.solve)):
            seen = clocks.look(calendar_of(level), one, warn_percent=level.warn_percent, now=now)
            if seen.next_at is not None:
                next_ats.append(seen.next_at)
            if seen.what:
                made += _say(row, f"{name}_{seen.what}", one.due_at, now)
        row.look_at = min(next_ats, default=None)
        row.save(update_fields=["look_at"])
    return made


def _say(ticket: Ticket, what: str, due_at: datetime | None, now: datetime) -> list[str]:
    level = ticket.service_level
    if level is None or due_at is None:
        return []
    local = due_at.astimezone(clocks.zone_of(level.timezone))
    text = (
        f"{SAYS[what]}: due {local:%a %d %b %H:%M %Z} by “{level.name}”, priority {ticket.priority}, "
        f"status {ticket.status}."
    )
    try:
        with transaction.atomic():
            notice = ClockNotice.objects.create(
                client_id=ticket.client_id, ticket=ticket, what=what, at=now, text=text, due_at=now
            )
    except IntegrityError:  # it was said before: once is enough
        return []
    write_entry(ticket, "clock", text, actor=ACTOR, now=now)
    journal("ticket.clock", ticket, actor=ACTOR, now=now, more={"what": what})
    return [notice.pk]


def _send(notice: ClockNotice, now: datetime, send: Send) -> int:
    retry = min(BACKOFF_MOST, BACKOFF_FIRST * 2**notice.attempts)
    claimed = every(ClockNotice).filter(pk=notice.pk, state="due", attempts=notice.attempts).update(
        attempts=F("attempts") + 1, due_at=now + retry
    )  # fmt: skip
    if not claimed:
        return 0
    channels = every(Channel).filter(Q(client=None) | Q(client=notice.client_id), enabled=True)
    errors: list[str] = []
    for channel in channels.exclude(pk__in=notice.reached):
        try:
            send(channel.notifier, open_settings(channel), _message(notice))
        except (SendFailed, Trouble, ValueError) as failure:  # ValueError: a setting is wrong by now
            errors.append(f"{channel.title}: {failure}")
        else:
            notice.reached = [*notice.reached, channel.pk]
            notice.save(update_fields=["reached"])
    notice.error = "; ".join(errors)[:500]
    if not errors:
        notice.state = "sent"
    elif notice.attempts + 1 >= ATTEMPTS_MOST:
        notice.state = "given_up"
    notice.save(update_fields=["state", "error"])
    return int(not errors)


def _message(notice: ClockNotice) -> Message:
    ticket = notice.ticket
    title = f"Ticket #{ticket.number}: {SAYS[notice.what].lower()}"
    return Message(
        id=f"clock-{notice.pk}",
        thread=f"clock-{ticket.pk}",
        step="opened",
        severity="breaking" if notice.what.endswith("late") else "drifting",
        client=ticket.client.name,
        asset=ticket.asset.name if ticket.asset else "",
        title=title,
        reason=notice.text,
        subject=f"{title}: {ticket.title}"[:180],
        text=f"{notice.text}\n\n#{ticket.number} {ticket.title}\n{ticket.client.name}\n",
        at=notice.at.isoformat(),
    )
