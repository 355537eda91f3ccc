"""Every listener of this installation: each with its port, its settings and its counters, on one queue.

A listener that cannot listen (its certificate cannot be read, its port is taken) does not stop the others:
it is tried again, and that it is not there is a finding of the asset that stands for Forestall itself.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from forestall.collect.receiving.own_certificate import ensure_certificate
from forestall.estate.tenancy import system_scope
from forestall.intake.listening import QueueAccept, last_lines
from forestall.intake.queue import QueueWriter
from forestall.intake.values import Rejection
from forestall.kernel.clock import Clock
from forestall.kernel.config import Config
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import load
from forestall.processes.setup import Installation

HOME = "forestall.collect.listeners"
AGAIN_S = 10.0

log = logging.getLogger("watch")


class Place(NamedTuple):
    """Where a listener of ours listens; `kinds` are socket kinds."""

    name: str
    host: str
    port: int
    kinds: tuple[int, ...]
    title: str


def list_places(config: Config) -> list[Place]:
    """The listeners that are not switched off (port 0), and where they are."""
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    rows = (
        ("syslog", config.syslog_host, (stream, datagram), "syslog"),
        ("syslog_tls", config.syslog_host, (stream,), "syslog over TLS"),
        ("relp", config.syslog_host, (stream,), "RELP"),
        ("traps", config.traps_host, (datagram,), "SNMP traps"),
        ("zabbix", config.zabbix_host, (stream,), "Zabbix values"),
        ("smtp", config.smtp_host, (stream,), "mail"),
    )
    return [
        Place(name, host, config.port(name), kinds, title)
        for name, host, kinds, title in rows
        if config.port(name)
    ]


@dataclass(slots=True)
class _Listener:
    place: Place
    module: ModuleType
    accept: QueueAccept
    trouble: str = ""


class Listeners:
    """All of them. `reject` is told what could not be used."""

    def __init__(
        self, found: Installation, queue: QueueWriter, clock: Clock, *, reject: Callable[[Rejection], None]
    ) -> None:
        self._found = found
        self._clock = clock
        before = last_lines(found.data.queue / "watch", transport="relp")
        self._all = []
        for place in list_places(found.config):
            if place.name == "smtp":
                accept: QueueAccept = mail_accept(found, queue, clock, reject)
            else:
                durable = before if place.name == "relp" else None
                accept = QueueAccept(queue, clock, door=place.name, reject=reject, durable=durable)
            self._all.append(_Listener(place, load(HOME)[place.name], accept))

    @property
    def settled(self) -> bool:
        """Whether each listens, or has said why not."""
        return all(one.accept.port or one.trouble for one in self._all)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._all:
                tasks.create_task(self._keep(one, stop))

    async def _keep(self, one: _Listener, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                given = one.module.SPEC.read(self._settings(one.place))
                await one.module.listen(given, one.accept, stop)
                return
            except (Trouble, ValueError) as error:
                if one.trouble != str(error):
                    log.error("%s does not listen: %s", one.place.name, error)
                one.trouble, one.accept.port = str(error), 0
            try:
                async with asyncio.timeout(AGAIN_S):
                    await stop.wait()
            except TimeoutError:
                continue

    def _settings(self, place: Place) -> Mapping[str, object]:
        """What the listener is given. Raises Trouble."""
        given: dict[str, object] = {"host": place.host, "port": place.port}
        if place.name in ("syslog_tls", "smtp"):
            tls = self._found.config.tls
            certificate, key = tls.certificate, tls.key
            if not certificate:
                paths = ensure_certificate(self._found.data.root / "tls", now=self._clock.now())
                certificate, key = map(str, paths)
            given |= {"certificate": certificate, "key": key or certificate}
        if place.name == "syslog_tls":
            given["client_ca"] = self._found.config.tls.client_ca
        if place.name == "traps":
            given["users"] = list(self._found.config.traps_users)
        return given

    def total(self, what: str, *names: str) -> int:
        """The sum of a counter over all listeners, or over those with these names."""
        return sum(one.accept.counters[what] for one in self._all if not names or one.place.name in names)

    def numbers(self) -> dict[str, Any]:
        """By listener: where it listens, why not, and its counters; for people."""
        return {
            one.place.name: {
                "title": one.place.title,
                "host": one.place.host,
                "port": one.accept.port,
                "trouble": "" if one.accept.port else one.trouble,
                **one.accept.counters,
            }
            for one in self._all
        }

    def samples(self, now_ms: int) -> list[Sample]:
        """The same as samples of the asset that stands for Forestall; the listener's name is the item."""
        found = []
        for one in self._all:
            counters, name = one.accept.counters, one.place.name
            values = {
                "up": float(one.accept.port > 0),
                "accepted_count": counters["received"],
                "rejected_count": counters["rejected"] + counters["refused"],
                "dropped_count": counters["udp_dropped"] + counters["lost"],
            }
            found += [
                Sample(now_ms, f"forestall.listener_{what}", name, value) for what, value in values.items()
            ]
        return found


def mail_accept(
    found: Installation, queue: QueueWriter, clock: Clock, reject: Callable[[Rejection], None]
) -> QueueAccept:
    """What the listener for mail hands over to."""
    from django.db import close_old_connections

    from forestall.mail.accepting import MailAccept
    from forestall.mail.queries import our_addresses
    from forestall.mail.spool import Spool

    def addresses() -> frozenset[str]:
        close_old_connections()
        return our_addresses(system_scope("mail"))

    spool = Spool(found.data.mail, reserve_bytes=found.config.limits.disk_reserve_bytes)
    return MailAccept(spool, addresses, queue, clock, door="smtp", reject=reject)
