"""Mail at work, in the watch role: what waits is taken in, answers leave, mailboxes are fetched."""

import logging
import threading
import time
from collections import Counter
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from forestall.backups.models import BackupPlan
from forestall.backups.taking import take_run
from forestall.collect.backups.mails import read_mail
from forestall.estate.tenancy import system_scope
from forestall.kernel.clock import Clock, to_ms
from forestall.kernel.observations import Sample
from forestall.mail import queries
from forestall.mail.actions import Taking, take
from forestall.mail.fetching import AT_ONCE_MOST as FETCHED_AT_ONCE_MOST
from forestall.mail.fetching import fetch_mailbox
from forestall.mail.outbox import send_due
from forestall.mail.spool import Spool
from forestall.processes.setup import Installation
from forestall.tickets.by_mail import MailDesk, follow_answers, follow_mentions, tell_undelivered

EVERY_S = 0.5
ANSWERS_EVERY_S = 2.0
LOOK_EVERY_S = 2.0
FETCH_EVERY_S = 60.0
AT_ONCE_MOST = 100
TRIES_MOST = 3
TOLD_MAX = 1_000

log = logging.getLogger("watch")


def taking_of(found: Installation) -> Taking:
    """With what this installation takes mail in."""
    spool = Spool(found.data.mail, reserve_bytes=found.config.limits.disk_reserve_bytes)
    trusted = tuple(one.lower() for one in found.config.mail.trusted)
    return Taking(spool, MailDesk(take_runs), found.data.key("mail"), trusted)


def take_runs(plan: str, raw: bytes, now: datetime) -> str:
    """Runs of a plan that a product tells by mail; in words what was understood."""
    row = BackupPlan.objects.of(system_scope("mail")).filter(pk=plan, archived_at=None).first()
    if row is None:
        return "its backup plan is gone"
    heard = read_mail(raw)
    new = sum(take_run(row, one.report(plan, to_ms(now)), now=now) for one in heard)
    said = ", ".join(sorted({one.said for one in heard}))
    return f"{len(heard)} runs of {row.name} ({said}), {new} of them new. {heard[0].reason}"


class Mailing:
    """Two loops: `run` for what is here, `fetch` for mailboxes."""

    def __init__(self, found: Installation, clock: Clock, stop: threading.Event) -> None:
        self._found = found
        self._clock = clock
        self._stop = stop
        self._taking = taking_of(found)
        self._tries: Counter[str] = Counter()
        self._told: dict[str, float] = {}
        self._more: set[str] = set()  # mailboxes that hold more than one look takes
        self.taken = 0

    def run(self) -> None:
        """Until told to stop."""
        answers_due = 0.0
        while not self._stop.wait(EVERY_S):
            close_old_connections()
            self.take_in()
            if time.monotonic() >= answers_due:
                answers_due = time.monotonic() + ANSWERS_EVERY_S
                self.send()

    def fetch(self) -> None:
        """Until told to stop."""
        while not self._stop.wait(LOOK_EVERY_S):
            close_old_connections()
            try:
                self._fetch_due()
            except DatabaseError as error:
                log.warning("mailboxes wait for the database: %s", error)

    def _fetch_due(self) -> None:
        """Each mailbox that was not looked at for FETCH_EVERY_S, or has more than one look takes."""
        now = self._clock.now()
        for row in queries.list_mailboxes(system_scope("mail")):
            if self._stop.is_set():
                return
            last = row.looked_at
            if last and (now - last).total_seconds() < FETCH_EVERY_S and row.pk not in self._more:
                continue
            fetched = fetch_mailbox(row, self._taking.spool, now=self._clock.now)
            self._more.discard(row.pk)
            if fetched.trouble and fetched.trouble != row.trouble:
                log.warning("mailbox %s of %s: %s", row.user, row.host, fetched.trouble)
            elif fetched.count >= FETCHED_AT_ONCE_MOST:
                self._more.add(row.pk)

    def take_in(self) -> int:
        """What waits, at most AT_ONCE_MOST messages; how many were taken in."""
        count = 0
        for name in self._taking.spool.names(most=AT_ONCE_MOST):
            try:
                take(self._taking, name, now=self._clock.now())
                count += 1
            except (OperationalError, InterfaceError) as error:
                log.warning("a mail waits for the database: %s", error)
                break
            except Exception:  # a mistake of ours on one message must not keep the others
                self._tries[name] += 1
                log.exception("a mail could not be taken in (try %d)", self._tries[name])
                if self._tries[name] >= TRIES_MOST:
                    self._taking.spool.set_aside(name)
                    del self._tries[name]
        self.taken += count
        return count

    def send(self) -> None:
        """Write the mails of answers, and send what is due."""
        now = self._clock.now()
        follow_answers(now=now)
        follow_mentions(now=now)
        given_up = send_due(now=now, key=self._taking.key, config=self._found.config.mail)
        tell_undelivered(given_up, now=now)

    def samples(self) -> list[Sample]:
        """For how long each mailbox was not read, for the asset that stands for Forestall; its user is the
        item. One that was removed is told of as read, so that what was found about it ends."""
        close_old_connections()
        now = self._clock.now()
        silent_s = {
            f"{row.user} at {row.host}": max(0.0, (now - (row.well_at or row.made_at)).total_seconds())
            for row in queries.list_mailboxes(system_scope("mail"))
        }
        self._told = (
            {**dict.fromkeys(self._told, 0.0), **silent_s} if len(self._told) < TOLD_MAX else silent_s
        )
        return [
            Sample(to_ms(now), "forestall.mailbox_silent_s", item, value)
            for item, value in self._told.items()
        ]
