"""The watch role: listeners, the server's probes, decoding, judging, alerting, delivery."""

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from forestall.kernel.clock import SystemClock, to_ms
from forestall.kernel.observations import Observations, Sample
from forestall.kernel.signs import Heart, leave_words, read_sign
from forestall.processes.disk_trial import places_of
from forestall.processes.setup import Installation, start_django

TURN_S = 20.0  # a judge's loop that has not turned for so long is wedged: no sign of life is given
DESK_EVERY_S = 0.5
TICKETS_EVERY_S = 5.0
OWN_EVERY_S = 10.0
CHECKPOINT_EVERY_S = 60.0
RETENTION_EVERY_S = 6 * 3600.0
STORE_READY_S = 60.0
SCHEMA_PAUSE_S = 1.0
ROLES = ("store", "watch", "web", "guard")

log = logging.getLogger("watch")


def run(found: Installation) -> None:
    """Watch until SIGTERM."""
    start_django()
    Watch(found).run()


class Watch:
    """Everything that the role wires together."""

    def __init__(self, found: Installation) -> None:
        from forestall.alerts.reader import StoreReader
        from forestall.collect.asking import Keeper
        from forestall.collect.masking import Masker
        from forestall.collect.masking_said import mask_said
        from forestall.collect.remembering import Memory
        from forestall.estate.enrolment import server_asked_now, server_orders
        from forestall.estate.first_use import itself
        from forestall.estate.tenancy import system_scope
        from forestall.intake.actions import record_rejections
        from forestall.intake.covering import Covering
        from forestall.intake.pump import Pump
        from forestall.intake.quarantine import Quarantine
        from forestall.intake.queries import load_directory
        from forestall.intake.queue import QueueWriter
        from forestall.judge.judge import Judge
        from forestall.judge.pack import load_packs
        from forestall.judge.shelf import builtin_packs
        from forestall.processes import archiving
        from forestall.processes.feeding import Feeder
        from forestall.processes.judging import JOBS, Judging
        from forestall.processes.listening import Listeners
        from forestall.processes.mailing import Mailing
        from forestall.processes.noticing import Noticing
        from forestall.processes.probing import Probing
        from forestall.processes.road import Road
        from forestall.processes.storing import Storing
        from forestall.processes.suspecting import Suspecting
        from forestall.telemetry.client import Store

        self.found = found
        self.clock = SystemClock()
        self.scope = system_scope("watch")
        self.stop = threading.Event()
        book = load_packs(builtin_packs())
        self.store = Store("127.0.0.1", found.config.port("store"), password=found.data.key("store").hex())
        self.queue = QueueWriter(
            found.data.queue / "watch",
            max_bytes=found.config.limits.queue_max_bytes,
            reserve_bytes=found.config.limits.disk_reserve_bytes,
            on_broken=self._break,
        )
        self.itself = itself()
        masker = Masker(found.data.key("masking"))
        self.feeder = Feeder(self.queue, self.clock, itself=self.itself.pk)
        self.probing = Probing(
            self.feeder.feed,
            lambda: _in_database(server_orders),
            lambda: _in_database(server_asked_now),
            Keeper(Memory(found.data.root / "remembered.json"), masker),
        )
        jobs = list(JOBS)
        if found.config.backup.directory:
            jobs.append((archiving.JOB, archiving.expected_ms(found.config.backup)))
        noticing = Noticing(masker)
        self.judging = Judging(
            Judge(book),
            Road(StoreReader(self.store, book.texts)),
            self.clock,
            jobs=jobs,
            noticing=noticing,
        )
        self.storing = Storing(self.store)
        self.quarantine = Quarantine(found.data.quarantine, self.queue, poison=found.data.queue / "poison")
        self.pump = Pump(
            found.data.queue,
            judge=self.judging,
            store=self.storing,
            load_directory=lambda: load_directory(self.scope, self.clock),
            clock=self.clock,
            reject=partial(record_rejections, mask=partial(mask_said, masker)),
            on_failure=self._give_up,
            quarantine=self.quarantine,
            cover=Covering(masker).cover,
        )
        self.mailing = Mailing(found, self.clock, self.stop)
        self.suspecting = Suspecting(self.store, self.clock, self.stop)
        self.listeners = Listeners(found, self.queue, self.clock, reject=self.pump.tell)
        self.numbers: dict[str, Any] = {}
        self.heart = Heart("watch", found.data.run, numbers=lambda: dict(self.numbers), alive=self._turns)

    def run(self) -> None:
        """Until SIGTERM."""
        gc.collect()
        gc.freeze()  # what was made by now lives as long as the process: no collection looks at it again
        keeping = (self._backup_loop, self._deletion_loop, self.mailing.run, self.mailing.fetch)
        threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=loop.__name__)
            for loop in (self._desk_loop, self._own_loop, self._demo_loop, self.suspecting.run, *keeping)
        ]
        self.pump.start()
        for thread in threads:
            thread.start()
        try:
            asyncio.run(self._listen())
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(10)
            self.pump.stop()
            self.queue.close()
            self.heart.stop()

    async def _listen(self) -> None:
        """Listeners and the server's probes, until SIGTERM."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.listeners.run(stop))
            tasks.create_task(self.probing.run(stop))
            tasks.create_task(self._first_sign(stop))

    async def _first_sign(self, stop: asyncio.Event) -> None:
        """The first sign of life is given when each listener listens or has said why not."""
        for _ in range(1000):
            if self.listeners.settled or stop.is_set():
                break
            await asyncio.sleep(0.02)
        self.heart.start()

    def _desk_loop(self) -> None:
        """Deliver what is due; sign the journal; keep what is to be kept."""
        from forestall.alerts.deliver import deliver_due
        from forestall.journal.actions import sign_checkpoint
        from forestall.tickets.rounds import go_round

        checkpoint_due = retention_due = tickets_due = 0.0
        while not self.stop.wait(DESK_EVERY_S):
            now = time.monotonic()
            _in_database(deliver_due, now=self.clock.now())
            if now >= tickets_due:
                tickets_due = now + TICKETS_EVERY_S
                _in_database(go_round, self.clock.now())
            if now >= checkpoint_due:
                checkpoint_due = now + CHECKPOINT_EVERY_S
                _in_database(sign_checkpoint, at=self.clock.now())
                self._did("checkpoint")
            if now >= retention_due and self.storing.ready:
                retention_due = now + RETENTION_EVERY_S
                self._retain()

    def _retain(self) -> None:
        from forestall.processes.keeping import keep
        from forestall.telemetry.client import StoreRefused, StoreUnavailable

        try:
            _in_database(keep, self.store, self.found.config.limits, now_ms=to_ms(self.clock.now()))
            self._did("retention")
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("retention did not run: %s", error)

    def _did(self, job: str) -> None:
        """A scheduled thing of ours ran; that it did not is a finding."""
        self.judging.heard_jobs[job] = to_ms(self.clock.now())

    def _own_loop(self) -> None:
        """Forestall's own numbers, as observations of the asset that stands for itself."""
        from forestall.intake.values import QueueFull

        while not self.stop.wait(OWN_EVERY_S if self.numbers else 1.0):
            self._look_for_room()
            self._look_at_disks()
            gauges = self.pump.gauges()
            late_s = _in_database(_delivery_late_s, self.clock.now())
            now_s = time.time()
            self.numbers = {
                "queue_bytes": gauges.queue_bytes,
                "queue_age_s": gauges.judge_age_s,
                "store_delay_s": gauges.store_age_s,
                "rejected_count": gauges.rejected_count,
                "udp_dropped_count": self.listeners.total("udp_dropped"),
                "syslog_received_count": self.listeners.total("received", "syslog", "syslog_tls", "relp"),
                "outcomes_lost_count": self.probing.lost,
                "delivery_late_s": late_s,
            }
            now_ms = to_ms(self.clock.now())
            samples = [
                Sample(now_ms, f"forestall.{name}", "", float(value)) for name, value in self.numbers.items()
            ]
            samples += self.listeners.samples(now_ms)
            samples += self.mailing.samples()
            self.numbers["listeners"] = self.listeners.numbers()
            for role in ROLES:
                sign = read_sign(self.found.data.run, role)
                up = sign is not None and sign.age_s(now_s) < TURN_S
                samples.append(Sample(now_ms, "forestall.role_up", role, float(up)))
            try:
                self.feeder.feed(self.itself.client_id, [Observations(self.itself.pk, samples=samples)])
            except QueueFull as full:  # the sign of life still has the numbers
                log.warning("Forestall's own numbers are not kept: %s", full)

    def _look_for_room(self) -> None:
        """Tell the judge, past the queue, whether observations are turned away because the disk is full."""
        from forestall.kernel.room import free_bytes

        free, reserve = free_bytes(self.found.data.queue), self.found.config.limits.disk_reserve_bytes
        refused = time.monotonic() - self.queue.refused_at < 2 * OWN_EVERY_S
        if refused or free < reserve:
            log.warning("the disk is full: %d MB are left, observations are turned away", free >> 20)
        now_ms = to_ms(self.clock.now())
        no_room = Sample(now_ms, "forestall.no_room", "", float(refused or free < reserve))
        self.judging.own_samples.append(no_room)

    def _look_at_disks(self) -> None:
        """Tell the judge, past the queue, what the guard's trial of the disks and the store's errors say."""
        sign, now_ms = read_sign(self.found.data.run, "guard"), to_ms(self.clock.now())
        if sign is None or sign.age_s(time.time()) > TURN_S:
            return
        failing = set(sign.numbers.get("disks", {}))
        if time.monotonic() - self.storing.disk_failed_at < 2 * OWN_EVERY_S:
            failing.add("the telemetry")
        for place in places_of(self.found.data):
            fails = Sample(now_ms, "forestall.disk_fails", place, float(place in failing))
            self.judging.own_samples.append(fails)

    def _demo_loop(self) -> None:
        """Feed the example clients, if there are any."""
        from forestall.processes.demo import EVERY_S, Demonstrator

        demonstrator = _in_database(Demonstrator, self.feeder.feed)
        while not self.stop.is_set() and demonstrator.has_clients:
            _in_database(demonstrator.feed, to_ms(self.clock.now()))
            self.stop.wait(EVERY_S)

    def _backup_loop(self) -> None:
        """Back Forestall up when it is due."""
        from forestall.processes.archiving import JOB, Archiving

        heard = self.judging.heard_jobs
        Archiving(self.found, lambda at_s: heard.update({JOB: int(at_s * 1000)})).run(self.stop)

    def _deletion_loop(self) -> None:
        """Delete the clients whose deletion was ordered."""
        from forestall.processes.deleting import run

        run(self.found, self.store, self.stop)

    def _turns(self) -> bool:
        return time.monotonic() - self.judging.turned_at < TURN_S and self.pump.failed is None

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self._give_up(error)

    def _break(self, error: BaseException) -> None:
        """The queue cannot be written: the guard is told why, and the role ends."""
        leave_words(self.found.data.run, "watch", str(error))
        self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """A part ended unexpectedly: the whole role ends, and goes on from its checkpoints."""
        if self.stop.is_set():
            return
        log.critical("watch ends: %s: %s", type(error).__name__, error, exc_info=error)
        os._exit(3)


def _in_database(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call with a database connection that is not stale."""
    from django.db import close_old_connections

    close_old_connections()
    return function(*args, **kwargs)


def _delivery_late_s(now: Any) -> float:
    """How long the oldest delivery has been due."""
    from forestall.alerts.models import Delivery

    oldest = Delivery.objects.filter(state="due", due_at__lt=now).order_by("due_at").first()
    return max(0.0, (now - oldest.due_at).total_seconds()) if oldest else 0.0
