"""`forestall up`: first use, then the supervisor. The only place where an installation is created."""

import errno
import ipaddress
import os
import platform
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from forestall.kernel.config import Config
from forestall.kernel.durable import sync_directory
from forestall.kernel.errors import Trouble
from forestall.processes.listening import list_places
from forestall.processes.setup import Installation, locate, start_django
from forestall.processes.supervisor import Supervisor, role_command

READY_WITHIN_S = 60.0
ROOM_LEAST_BYTES = 200 << 20


def bring_up(
    data: Path | None, *, listen: str, port_offset: int, demo: bool, roles: Sequence[str], with_agent: bool
) -> None:
    """Run the roles until SIGTERM or SIGINT. Raises Trouble in one line when that cannot begin."""
    if listen:
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit():
            raise Trouble(
                f"--listen is HOST:PORT, not {listen!r}", "Write for example --listen 0.0.0.0:8080."
            )
        os.environ["FORESTALL_HOST"] = host.strip("[]")
        os.environ["FORESTALL_PORTS__WEB"] = str(int(port) - port_offset)
    if port_offset:
        os.environ["FORESTALL_PORT_OFFSET"] = str(port_offset)
    found = locate(data)
    found.data.create()
    _check_room(found.data.root)
    lock = found.data.lock()
    _check_ports(found.config, roles)
    start_django()
    link = _prepare(found, demo=demo)
    supervisor = Supervisor(found.data.run, said=lambda line: print(f"forestall: {line}", file=sys.stderr))
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    for role in roles:
        supervisor.add(role, role_command(role))
    try:
        missing = supervisor.wait_for(roles, READY_WITHIN_S)
        if missing and not supervisor.stopping:
            raise Trouble(
                f"{' and '.join(missing)} did not come up within {READY_WITHIN_S:.0f} s",
                "What it said stands above; run forestall doctor.",
            )
        if "store" in roles and not supervisor.stopping:
            _make_tables(found)
        if with_agent and not supervisor.stopping:
            _enrol_this_machine(found)
            supervisor.add("agent", [sys.executable, "-m", "forestall.processes.role", "agent"])
        if not supervisor.stopping:
            if link:
                print(f"Set up your account (this link works once): {link}")
            print(f"ready {found.config.url}", flush=True)
        supervisor.go_on()
    finally:
        supervisor.end()
        lock.close()


def _check_room(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < ROOM_LEAST_BYTES:
        raise Trouble(
            f"the disk of {root} is full ({free >> 20} MB left, a start needs {ROOM_LEAST_BYTES >> 20})",
            "Make room there, or choose another directory with --data DIR.",
        )


def _check_ports(config: Config, roles: Sequence[str]) -> None:
    """Say which port is taken before anything is started."""
    wanted: list[tuple[str, int, int, str]] = []
    if "web" in roles:
        wanted.append((config.host, config.port("web"), socket.SOCK_STREAM, "the console"))
    if "store" in roles:
        wanted.append(("127.0.0.1", config.port("store"), socket.SOCK_STREAM, "the store"))
    if "watch" in roles:
        wanted += [
            (place.host, place.port, kind, place.title)
            for place in list_places(config)
            for kind in place.kinds
        ]
    for host, port, kind, what in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as trial:
            if kind == socket.SOCK_STREAM:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise Trouble(
                        f"port {port} for {what} is in use by another program",
                        "Stop that program, or shift every port with --port-offset 100.",
                    ) from error
                raise Trouble(
                    f"{what} cannot listen on {host}:{port}: {error.strerror}",
                    "Choose another address with --listen HOST:PORT or in forestall.toml.",
                ) from error


def _prepare(found: Installation, *, demo: bool) -> str:
    """Tables, the first client, a set-up link while there is no owner; the link or ""."""
    from django.core.management import call_command
    from django.db import OperationalError

    from forestall.estate.access import make_setup_link
    from forestall.estate.first_use import ensure_first_estate

    try:
        call_command("migrate", verbosity=0, interactive=False)
    except OperationalError as error:
        raise Trouble(
            f"the database cannot be opened: {error}", "Check its disk and DATABASE_URL, then start again."
        ) from error
    for name in ("django", "journal", "vault", "store"):
        found.data.key(name)
    networks, addresses = _own_networks()
    ensure_first_estate(hostname=platform.node() or "this-machine", networks=networks, addresses=addresses)
    if demo:
        from forestall.processes.demo import ensure_demo

        ensure_demo()
    sync_directory(found.data.root)  # SQLite syncs its pages, not the name of its file
    token = make_setup_link()
    return f"{found.config.url}/set-up/{token}/" if token else ""


def _own_networks() -> tuple[list[str], list[str]]:
    """This machine's networks (CIDR), and the addresses from which it may send to itself."""
    import psutil

    networks, addresses = {"127.0.0.0/8", "::1/128"}, {"127.0.0.1", "::1"}
    for interface in psutil.net_if_addrs().values():
        for entry in interface:
            if entry.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = entry.address.split("%")[0]
            addresses.add(address)
            if entry.family == socket.AF_INET and entry.netmask:
                networks.add(str(ipaddress.ip_network(f"{address}/{entry.netmask}", strict=False)))
    return sorted(networks), sorted(addresses)


def _gateway() -> str:
    """The way out of this network (IPv4), or "" when there is none. Source: Linux, proc_net_route."""
    try:
        rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return ""
    for row in rows:
        if row[1] == "00000000" and int(row[3], 16) & 2:  # RTF_GATEWAY
            return str(ipaddress.ip_address(bytes.fromhex(row[2])[::-1]))
    return ""


def _make_tables(found: Installation) -> None:
    """The tables of telemetry, so that whoever looks from now on finds them."""
    from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable

    store = Store("127.0.0.1", found.config.port("store"), password=found.data.key("store").hex())
    try:
        store.wait_ready(READY_WITHIN_S)
        store.ensure_schema()
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble(
            f"the store cannot make its tables: {error}", "Look at its disk, then start again."
        ) from error


def _enrol_this_machine(found: Installation) -> None:
    """Give this machine's agent its key by a single-use token, like any other machine's."""
    from forestall.collect.agent.enrol import enrol, is_enrolled
    from forestall.estate.first_use import ensure_first_probes, token_for_this_machine

    if is_enrolled(found.data.agent):
        return
    url = f"http://{found.config.host}:{found.config.port('web')}"
    enrol(found.data.agent, url=url, token=token_for_this_machine())
    ensure_first_probes(gateway=_gateway(), console_url=url)
