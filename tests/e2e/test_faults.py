"""Five faults at once on a real installation: a disk that fills up, an edit of sshd's configuration, a
certificate that runs out, an agent that is killed, a host with fifty services that is switched off. Of each
a person is told once, with evidence sealed before, and once more when it is over."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.daemons import Certified, free_port, make_certificate, nginx
from e2e.installation import Installation, installed, poll
from e2e.machines import Host, SecondAgent, fill, host_on_a_wire, listening, small_disk
from e2e.telling import Became, Post, make_channels, what_became
from notifier_servers import HookServer, MailServer

pytestmark = pytest.mark.e2e

OWN = "Our own network"
BRANCH = "Alder Dental"
SERVICES = 50
EVERY_S = 5
TOLD_WITHIN_S = 120.0
SSHD = Path("/etc/ssh/sshd_config")
SSHD_WITHOUT_ONE = "PermitRootLogin no\nPasswordAuthentication no\n"
OVERRIDES = {  # asset → rule → settings: the product's own way to shorten what is minutes by default
    "own": {"disk-full": {"breaking": {"above": "98%", "for": "5 s"}, "back_for": "5 s"}},
    "branch-server": {
        "asset-silent": {"silent": {"after": "20 s", "intervals": None}},
        "disk-full": {"off": True},  # it runs on this machine too and sees the same disk
    },
    "branch-till": {"probe-silent": {"silent": {"after": "30 s", "intervals": None}}},
}


@dataclass
class Site:
    """The installation and everything that it watches."""

    up: Installation
    post: Post
    folder: Path
    host: Host
    disk: Path
    sshd: Path
    web: "Web"
    agent: SecondAgent
    machine: str
    broken_s: dict[str, float] = field(default_factory=dict)
    mended_s: dict[str, float] = field(default_factory=dict)


class Web:
    """An nginx with a certificate that can be exchanged."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.authority = make_certificate(folder, "authority", authority=True)
        self._running = ExitStack()

    def serve(self, certificate: Certified) -> None:
        self._running.close()
        server = (
            f"server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {certificate.certificate};"
            f" ssl_certificate_key {certificate.key}; location / {{ return 200 'hello'; }} }}"
        )
        self._running.enter_context(nginx(server, port=self.port))

    def serve_good(self, name: str) -> None:
        """A certificate of the authority that the probe trusts, for 90 days."""
        self.serve(make_certificate(self.folder, name, issuer=self.authority))

    def serve_short(self) -> None:
        """A certificate that somebody signed themselves, for two days."""
        until = datetime.now(UTC) + timedelta(days=2)
        self.serve(make_certificate(self.folder, "short", valid_until=until))

    def stop(self) -> None:
        self._running.close()


@dataclass(frozen=True)
class Fault:
    """What breaks, which findings it makes where, and how it is mended."""

    name: str
    assets: Callable[[Site], list[str]]
    rules: dict[str, str]  # rule → words that its reason must have
    breaks: Callable[[Site], Any]
    mends: Callable[[Site], Any]
    findings: int = 1


def edit_sshd(site: Site) -> None:
    shutil.copy(site.sshd, site.folder / "sshd_config.before")
    with site.sshd.open("a") as file:
        file.write("PermitRootLogin yes\n")


FAULTS = (
    Fault(
        "a full disk",
        assets=lambda site: [site.machine],
        rules={"disk-full": "% full"},
        breaks=lambda site: fill(site.disk),
        mends=lambda site: (site.disk / "grown.log").unlink(),
    ),
    Fault(
        "an edit of sshd_config",
        assets=lambda site: [site.machine],
        rules={"access-changed": "sshd_config changed between"},
        breaks=edit_sshd,
        mends=lambda site: shutil.copyfile(site.folder / "sshd_config.before", site.sshd),
    ),
    Fault(
        "a certificate that runs out",
        assets=lambda _: ["shop"],
        rules={"certificate-runs-out": "runs out in 2 days", "probe-failed": "self-signed"},
        breaks=lambda site: site.web.serve_short(),
        mends=lambda site: site.web.serve_good("renewed"),
        findings=2,
    ),
    Fault(
        "an agent that is killed",
        assets=lambda _: ["branch-server", "branch-till"],
        rules={"asset-silent": "not heard from it for", "probe-silent": "", "probe-failed": ""},
        breaks=lambda site: site.agent.kill(),
        mends=lambda site: site.agent.start(),
    ),
    Fault(
        "fifty services behind a host that is off",
        assets=lambda _: ["rack", *(f"service {number}" for number in range(SERVICES))],
        rules={"host-unreachable": "answers none of 4 pings", "probe-failed": "", "packets-lost": ""},
        breaks=lambda site: site.host.switch_off(),
        mends=lambda site: site.host.switch_on(),
        findings=SERVICES + 1,
    ),
)
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A fresh installation on which everything is in spec."""
    folder = tmp_path_factory.mktemp("faults")
    data = folder / "data"
    (data / "agent").mkdir(mode=0o700, parents=True)
    sshd = folder / "sshd_config"
    sshd.write_text(SSHD.read_text() if SSHD.exists() else SSHD_WITHOUT_ONE)
    (data / "agent" / "agent.toml").write_text(f'[look.etc_files]\nmore = ["{sshd}"]\n')
    with ExitStack() as stack:
        host = stack.enter_context(host_on_a_wire())
        stack.enter_context(listening(host, range(7000, 7000 + SERVICES)))
        disk = stack.enter_context(small_disk(folder))
        web = Web(folder / "web")
        web.serve_good("good")
        stack.callback(web.stop)
        mail = stack.enter_context(MailServer())
        hook = stack.enter_context(HookServer())
        up = stack.enter_context(installed(data))
        made = make_estate(up, host, web, hook)
        agent = SecondAgent(folder / "branch", url=up.url, token=made.token)
        stack.callback(agent.kill)
        agent.start()
        make_branch_probe(up, hook)
        make_channels(up, mail, hook)
        site = Site(up, Post(mail, hook), folder, host, disk, sshd, web, agent, made.machine)
        poll(lambda: not missing(site), within_s=90, what="answers of every probe", every_s=1)
        yield site


def make_estate(up: Installation, host: Host, web: Web, hook: HookServer) -> SimpleNamespace:
    """The shop, the rack with its services, the branch with a token for its agent, and the overrides."""
    said = up.desk.ask(
        f"""
        from forestall.estate.actions import add_asset, add_client, add_probe, add_site
        from forestall.estate.enrolment import make_enrolment_token
        from forestall.estate.first_use import own_machine
        from forestall.estate.models import Collector
        from forestall.estate.tenancy import system_scope
        from forestall.findings.actions import override_rule
        from forestall.judge.pack import load_packs
        from forestall.judge.shelf import builtin_packs
        from forestall.kernel.clock import SystemClock
        scope = system_scope("test")
        machine = own_machine()
        own, here = machine.client_id, machine.site_id
        collector = Collector.objects.get(asset=machine, revoked_at=None).pk

        def watched(name, kind, parent, probe, target, settings=None):
            asset = add_asset(scope, client=own, site=here, name=name, kind=kind, parent=parent)
            add_probe(scope, asset=asset, kind=probe, target=target, interval_s={EVERY_S},
                      collector=collector, settings=settings)
            return asset.pk

        trusted = {{"ca": {web.authority.pem!r}}}
        watched("shop", "website", "", "tls", "127.0.0.1:{web.port}", trusted)
        rack = watched("rack", "server", "", "icmp", {host.far!r})
        for number in range({SERVICES}):
            watched(f"service {{number}}", "service", rack, "tcp", f"{host.far}:{{7000 + number}}")
        branch = add_client(scope, name={BRANCH!r})
        there = add_site(scope, client=branch.pk, name="Branch", ranges=["127.0.0.0/8"])
        server = add_asset(scope, client=branch.pk, site=there.pk, name="branch-server", kind="server")
        till = add_asset(scope, client=branch.pk, site=there.pk, name="branch-till", kind="other")
        _, token = make_enrolment_token(scope, client=branch.pk, site=there.pk, asset=server.pk)
        book, now = load_packs(builtin_packs()), SystemClock().now()
        named = {{"own": machine, "branch-server": server, "branch-till": till}}
        for name, rules in {OVERRIDES!r}.items():
            for rule, settings in rules.items():
                override_rule(scope, rule, client=named[name].client_id, asset=named[name].pk,
                              settings=settings, because="a test does not wait", now=now, book=book)
        return {{"machine": machine.name, "token": token}}
        """
    )
    return SimpleNamespace(**said)


def make_branch_probe(up: Installation, hook: HookServer) -> None:
    """The branch's agent asks something, which nobody asks while it is killed."""
    port = hook.url.split(":")[2].split("/")[0]
    up.cli("probes", "add", "branch-till", "tcp", f"127.0.0.1:{port}", "--client", BRANCH,
           "--every", str(EVERY_S), "--collector", "own")  # fmt: skip


def missing(site: Site) -> list[str]:
    """The assets of which the store has no good answer or number yet, or no snapshot of sshd's file."""
    wanted = ["shop", "rack", "branch-till", *(f"service {number}" for number in range(SERVICES))]
    return site.up.desk.ask(
        f"""
        import time
        from forestall.configs.models import Version
        from forestall.estate.models import Asset
        from forestall.kernel.ids import to_number
        from forestall.telemetry.client import Store
        from forestall.telemetry.read import latest
        from forestall.telemetry.scope import EVERY
        store = Store("127.0.0.1", {site.up.port("store")}, password=found.data.key("store").hex())

        def known(name):
            asset = to_number(Asset.objects.get(name=name).pk)
            return latest(store, clients=EVERY, asset=asset, now_ms=int(time.time() * 1000))

        lacking = [name for name in {wanted!r}
                   if not any(row.metric == "probe.up" and row.value == 1 for row in known(name))]
        if not any(row.metric == "disk.used_ratio" and row.item == {str(site.disk)!r}
                   for row in known({site.machine!r})):
            lacking.append("disk")
        if not known("branch-server"):
            lacking.append("branch-server")
        if not Version.objects.filter(kind={f"file {site.sshd}"!r}).exists():
            lacking.append("sshd_config")
        return lacking
        """
    )


def became(site: Site, fault: Fault) -> Became:
    return what_became(site.up, fault.assets(site), list(fault.rules))


@pytest.fixture(scope="module")
def broken(site: Site) -> Site:
    """Everything breaks at once."""
    for fault in FAULTS:
        assert became(site, fault) == Became(), f"before {fault.name}"
    for fault in FAULTS:
        fault.breaks(site)
        site.broken_s[fault.name] = time.monotonic()
    return site


@pytest.fixture(scope="module")
def mended(broken: Site) -> Site:
    """Everything is mended at once, after all of it was told."""
    for fault in FAULTS:
        poll(lambda fault=fault: is_told(broken, fault), within_s=TOLD_WITHIN_S, what=fault.name, every_s=0.5)
    for fault in FAULTS:
        fault.mends(broken)
        broken.mended_s[fault.name] = time.monotonic()
    return broken


def is_told(site: Site, fault: Fault) -> Became | None:
    """What became of it, when every finding is there, it was sent by both channels and has its ticket."""
    now = became(site, fault)
    whole = len(now.findings) >= fault.findings and now.tickets and len(now.steps) >= 2
    return now if whole else None


def is_over(site: Site, fault: Fault) -> Became | None:
    """What became of it, when its recovery was sent by both channels and its ticket is closed."""
    now = became(site, fault)
    return now if len(now.steps) >= 4 and set(now.tickets) == {"closed"} else None


@each_fault
def test_a_fault_is_told_once_with_evidence_sealed_before(broken, fault):
    now = poll(lambda: is_told(broken, fault), within_s=TOLD_WITHIN_S, what="told", every_s=0.5)
    assert len(now.findings) == fault.findings, now.findings
    for rule, words in fault.rules.items():
        assert all(words in reason for name, _, _, reason, _ in now.findings if name == rule), now.findings
    assert {rule for rule, words in fault.rules.items() if words} <= {name for name, *_ in now.findings}
    assert [(state, times) for _, state, times, _ in now.alerts] == [("open", 1)], now.alerts
    assert now.tickets == ["open"]
    assert now.steps == ["opened", "opened"]
    assert now.sealed and max(now.sealed) < now.first_sent, "evidence is sealed before anybody is told"
    assert now.without_evidence == 0
    alert, _, _, title = now.alerts[0]
    [(at_s, mail)], [post] = broken.post.mails(alert), broken.post.posts(alert)
    subject = " ".join(str(mail["Subject"]).split())  # where a long header was folded, a space is added
    assert title.split(" (and ")[0] in subject  # what joined after the mail is counted later
    assert now.findings[0][3].split("\n")[0][:40] in mail.get_content() or fault.findings > 2
    assert post["type"] == "alert.opened"
    print(f"{fault.name}: told after {at_s - broken.broken_s[fault.name]:.1f} s: {mail['Subject']}")


@each_fault
def test_its_recovery_is_told_once(mended, fault):
    now = poll(lambda: is_over(mended, fault), within_s=TOLD_WITHIN_S, what="recovered", every_s=0.5)
    assert all(ended and recovery for _, _, ended, _, recovery in now.findings), now.findings
    assert len(now.findings) == fault.findings
    assert [(state, times) for _, state, times, _ in now.alerts] == [("recovered", 1)]
    assert now.tickets == ["closed"]
    assert now.steps == ["opened", "opened", "recovered", "recovered"]
    alert = now.alerts[0][0]
    (_, (at_s, mail)), (_, post) = mended.post.mails(alert), mended.post.posts(alert)
    assert post["type"] == "alert.recovered"
    assert "Recovered at" in mail.get_content()
    print(f"{fault.name}: recovery told after {at_s - mended.mended_s[fault.name]:.1f} s")
