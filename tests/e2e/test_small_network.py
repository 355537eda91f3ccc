"""A client's network of a router and two switches, discovered by its own collector: proposed, mapped, and
when the router is cut off one alert tells of everything behind it, and one recovery that it is back."""

import select
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.installation import COMMAND, Installation, environment, installed, poll
from e2e.small_network import COMMUNITY, OFFICE, STORE, SmallNetwork, small_network
from e2e.telling import Post, make_channels, what_became
from notifier_servers import HookServer, MailServer

pytestmark = pytest.mark.e2e

CLIENT = "Bramble Books"
EVERY_S = 5
RULE = "host-unreachable"
FARTHER = ["router", "shelf", "till", "scale"]
PARENTS = {"core": "router", "shelf": "router", "till": "shelf", "scale": "shelf", "desk": "core"}


class Passing(socketserver.BaseRequestHandler):
    """A connection from the client's network, to the same port on loopback."""

    def handle(self) -> None:
        port = self.server.server_address[1]
        with socket.create_connection(("127.0.0.1", port)) as far:
            ways = {self.request: far, far: self.request}
            while True:
                for one in select.select(list(ways), [], [])[0]:
                    data = one.recv(65_536)
                    if not data:
                        return
                    ways[one].sendall(data)


@contextmanager
def relay(address: str, port: int) -> Iterator[None]:
    """What comes to the port at this address goes to the installation on loopback."""
    server = socketserver.ThreadingTCPServer((address, port), Passing)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class Collector:
    """The agent of the collector's namespace, behind its second wire to this machine."""

    def __init__(self, network: SmallNetwork, data: Path, *, url: str, token: str) -> None:
        enrol = [*COMMAND, "agent", "enrol", url, token, "--data", str(data)]
        done = subprocess.run(
            network.inside("collector", *enrol),
            check=False,
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        run = network.inside("collector", *COMMAND, "agent", "run", "--data", str(data))
        with data.with_name("collector.output").open("ab") as output:
            self.process = subprocess.Popen(run, stdout=output, stderr=output, env=environment())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Installation, SmallNetwork, Post]]:
    """An installation that listens on the wire, the network, and who is told."""
    with ExitStack() as stack:
        network = stack.enter_context(small_network(tmp_path))
        mail, hook = stack.enter_context(MailServer()), stack.enter_context(HookServer())
        up = stack.enter_context(installed(tmp_path / "data"))
        stack.enter_context(relay(network.near, up.port("web")))
        make_channels(up, mail, hook)
        yield up, network, Post(mail, hook)


def discover(up: Installation, network: SmallNetwork, folder: Path, stack: ExitStack) -> None:
    """Declare the ranges, enrol the collector, switch discovery on."""
    token = up.desk.ask(
        f"""
        from forestall.estate.actions import add_client, add_site
        from forestall.estate.credentials import add_credential
        from forestall.estate.enrolment import make_enrolment_token
        from forestall.estate.tenancy import system_scope
        scope = system_scope("test")
        client = add_client(scope, name={CLIENT!r})
        site = add_site(scope, client=client.pk, name="Shop", ranges=[{OFFICE!r}, {STORE!r}])
        add_credential(scope, client=client.pk, name="switches", kind="snmp_v2c",
                       fields={{"community": {COMMUNITY!r}}})
        return make_enrolment_token(scope, client=client.pk, site=site.pk)[1]
        """
    )
    collector = Collector(
        network, folder / "agent", url=f"http://{network.near}:{up.port('web')}", token=token
    )
    stack.callback(collector.end)
    up.desk.ask(
        f"""
        from forestall.estate.models import Asset, Collector, Credential, Site
        from forestall.estate.tenancy import system_scope
        from forestall.networks.switching import switch_on
        asker = Collector.objects.get(client__name={CLIENT!r})
        Asset.objects.filter(pk=asker.asset_id).update(name="collector")
        switch_on(system_scope("test"), Site.objects.get(name="Shop"), collector=asker.pk,
                  credential=Credential.objects.get(name="switches").pk, interval_s=20)
        """
    )


def waiting(up: Installation) -> list[list[Any]]:
    """Proposals: name, address, kind, reason."""
    found: list[list[Any]] = up.desk.ask(
        """
        from forestall.estate.tenancy import system_scope
        from forestall.networks.queries import list_sightings
        return [[one.title, one.address, one.kind, one.reason]
                for one in list_sightings(system_scope("test"), state="waiting")]
        """
    )
    return found


def confirm_all(up: Installation) -> None:
    """A person confirms each proposal, and has it asked by the collector."""
    up.desk.ask(
        f"""
        from django.utils import timezone
        from forestall.estate.actions import add_probe
        from forestall.estate.models import Asset, Collector
        from forestall.estate.tenancy import system_scope
        from forestall.networks.actions import confirm
        from forestall.networks.queries import list_sightings
        names = {{"10.214.1.11": "desk", "10.214.2.11": "till", "10.214.2.12": "scale"}}
        scope = system_scope("test")
        asker = Collector.objects.get(client__name={CLIENT!r})
        for one in list_sightings(scope, state="waiting"):
            asset = confirm(scope, one, name=names.get(one.address, ""), now=timezone.now())
            add_probe(scope, asset=asset, kind="icmp", target=one.address, interval_s={EVERY_S},
                      collector=asker.pk, settings={{"count": 2}})
        """
    )


def parents(up: Installation) -> dict[str, str]:
    """Asset → what it hangs on."""
    found: dict[str, str] = up.desk.ask(
        f"""
        from forestall.estate.models import Asset
        rows = Asset.objects.filter(client__name={CLIENT!r}, parent__isnull=False)
        return dict(rows.values_list("name", "parent__name"))
        """
    )
    return found


def test_a_network_is_discovered_mapped_and_its_router_cut_once(
    site: tuple[Installation, SmallNetwork, Post], tmp_path: Path
) -> None:
    up, network, post = site
    with ExitStack() as stack:
        discover(up, network, tmp_path, stack)
        found = poll(
            lambda: (
                (rows := waiting(up))
                and len(rows) == 6
                and {"router", "core", "shelf"} <= {row[0] for row in rows}
                and rows
            ),
            within_s=90,
            what="six proposals, three of which say their names",
            every_s=0.5,
        )
        kinds = {name: kind for name, _, kind, _ in found}
        assert kinds["router"] == "router" and kinds["core"] == kinds["shelf"] == "switch", found
        assert all(
            "answers SNMP as Linux" in row[3] for row in found if row[0] in ("router", "core", "shelf")
        )
        confirm_all(up)
        hung = poll(
            lambda: (now := parents(up)).keys() >= PARENTS.keys() and now, within_s=90, what="parents"
        )
        assert {name: hung[name] for name in PARENTS} == PARENTS
        assert hung["collector"] == "core" and "router" not in hung
        poll(lambda: answering(up) == 6, within_s=90, what="pings of all that were confirmed")

        network.cut_router()
        cut = poll(
            lambda: len((now := what_became(up, FARTHER, [RULE])).findings) == 4 and now.steps and now,
            within_s=90,
            what="one alert about the router and what is behind it",
        )
        assert len(cut.alerts) == 1, cut.alerts
        assert cut.alerts[0][3].startswith("router: "), cut.alerts
        network.mend_router()
        became = poll(
            lambda: (now := what_became(up, FARTHER, [RULE])).steps.count("recovered") == 2 and now,
            within_s=90,
            what="the recovery",
        )
        assert len(became.alerts) == 1, became.alerts
        assert became.steps.count("opened") == 2 == became.steps.count("recovered"), became.steps
        assert len(post.mails(became.alerts[0][0])) == 2


def answering(up: Installation) -> int:
    """How many of the confirmed devices have answered a ping by now."""
    count: int = up.desk.ask(
        f"""
        import time
        from forestall.estate.models import Probe
        from forestall.kernel.ids import to_number
        from forestall.telemetry.client import Store, StoreUnavailable
        store = Store("127.0.0.1", {up.port("store")}, password=found.data.key("store").hex())
        pinged = Probe.objects.filter(kind="icmp", client__name={CLIENT!r})
        try:
            rows = store.select("SELECT DISTINCT asset FROM forestall.samples WHERE metric = 'icmp.rtt_ms'")
        except StoreUnavailable:
            return 0
        return len({{row[0] for row in rows}} & {{to_number(one.asset_id) for one in pinged}})
        """
    )
    return count
