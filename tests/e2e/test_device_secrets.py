"""A thousand secrets of devices through a whole installation: none is in anything that it keeps or says.

Recorded devices behind real SSH servers, each with fresh secrets in its configuration and a password of its
own, are captured by the installation's agent; the same secrets stand in log lines that devices send by syslog
and programs push over HTTP. Looked through are the database's bytes, the texts of all versions (they are
compressed in it), the journal, sealed evidence, every line that the store gives back (as it shows them and
as it was received), what was refused, a backup, and what all processes printed.
"""

import asyncio
import json
import random
import socket
import string
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import zstandard

from contract.device_player import USER, Recording, playing, recorded, recording
from e2e.installation import Installation, installed, poll

COPIES = 6
pytestmark = pytest.mark.e2e

SECRETS_LEAST = 1_000
CAPTURED_S = 90.0


class Seeder:
    """Fresh secrets, all of which are remembered."""

    def __init__(self) -> None:
        self._random = random.Random(11)
        self.made: list[str] = []

    def fresh(self) -> str:
        letters = string.ascii_letters + string.digits
        self.made.append("Zq" + "".join(self._random.choice(letters) for _ in range(14)))
        return self.made[-1]

    def reseed(self, device: Recording) -> None:
        """Each line with secrets COPIES times, each time with other ones."""
        secrets = sorted(device.given["secrets"], key=len, reverse=True)
        device.given["answers"] = {
            command: "".join(
                self._other(line, secrets)
                for line in text.splitlines(keepends=True)
                for _ in range(COPIES if any(secret in line for secret in secrets) else 1)
            )
            for command, text in device.given["answers"].items()
        }
        if "enable" in device.given:
            device.given["enable"] = self.fresh()

    def _other(self, line: str, secrets: list[str]) -> str:
        for secret in secrets:
            if secret in line:
                line = line.replace(secret, self.fresh())
        return line


@contextmanager
def served(devices: list[tuple[Recording, str]]) -> Iterator[list[int]]:
    """The ports at which the devices answer, each with its password, in a thread of their own."""
    ports: list[int] = []
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with AsyncExitStack() as stack:
            for device, password in devices:
                ports.append(await stack.enter_async_context(playing(device, password=password, key=key)))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield ports
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(30)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("secrets") / "data") as found:
        yield found


def test_none_of_a_thousand_secrets_is_kept_or_said(up: Installation, tmp_path: Path) -> None:
    seeder = Seeder()
    devices: list[tuple[Recording, str]] = []
    for name in recorded():
        device = recording(name)
        seeder.reseed(device)
        devices.append((device, seeder.fresh()))
    assert len(seeder.made) >= SECRETS_LEAST
    with served(devices) as ports:
        plan = [
            {"recipe": device.name, "port": port, "user": USER, "password": password,
             "enable": device.given.get("enable", "")}
            for (device, password), port in zip(devices, ports, strict=True)
        ]  # fmt: skip
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        watch(up, tmp_path / "plan.json")
        poll(lambda: count(up, "versions") >= 2 * len(devices), within_s=CAPTURED_S, what="all captures")
        captured = poll(lambda: assets_captured(up) == len(devices), within_s=CAPTURED_S, what="each device")
        assert captured
        first = devices[0][0]
        command = next(iter(first.given["answers"]))
        first.given["answers"][command] += "vlan 4000\nend\n"
        change(up, seeder.fresh())
        sent = say_all(up, seeder.made)
        poll(lambda: len(stored(up)) >= sent, within_s=60, what="each line in the store")
        poll(lambda: count(up, "notices") >= 1, within_s=30, what="the line that names who")
        poll(lambda: count(up, "changes") >= 1, within_s=60, what="the change")
        poll(lambda: count(up, "evidence") >= 1, within_s=60, what="its evidence")
        said = everything_said(up)
        lines = stored(up)
        shown = up.cli("logs", "snmp-server", "--since", "1h")
        backup = tmp_path / "kept.tar.zst"
        up.cli("backup", str(backup), "--telemetry", "none")
    look_through(seeder.made, "what the tables and evidence say", said.encode())
    assert any("‹secret " in line for line in lines) and "‹secret " in shown
    look_through(seeder.made, "what the store gives back", "\n".join(lines).encode())
    look_through(seeder.made, "what the shell shows", shown.encode())
    look_through(seeder.made, "what processes printed", up.output.read_bytes())
    for path in sorted(up.data.glob("forestall.db*")):
        look_through(seeder.made, path.name, path.read_bytes())
    for path in sorted((up.data / "evidence").rglob("*")):
        if path.is_file():
            look_through(seeder.made, path.name, unpacked(path.read_bytes()))
    with tarfile.open(
        fileobj=zstandard.ZstdDecompressor().stream_reader(backup.open("rb")), mode="r|"
    ) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and not member.name.startswith("queue"):  # what is in it: 0015
                look_through(seeder.made, f"{member.name} of the backup", unpacked(file.read()))


SAID = (
    "%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:snmp-server community {} RO",
    "%ASA-5-111010: User 'ana', running 'CLI' from IP 10.0.0.5, executed 'username b password {}'",
    "%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:username x secret 5 {}",
    "%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:tacacs-server host 10.0.0.1 key 7 {}",
    "cli: snmp-server user ops grp v3 auth sha {} priv aes 128 x",
    'fw: cfgpath="system.admin" cfgattr="password[{}]" msg="Edit system.admin x"',
    "web: GET /items?id=7&token={} HTTP/1.1",
    'app: {{"user": "ana", "password": "{}"}}',
)


def say_all(up: Installation, secrets: list[str]) -> int:
    """Each secret in a line, by turns in one of SAID: half by syslog over TCP, half pushed as JSON, where
    a field says it again; how many lines that were. What nobody can read is refused, with a secret in it, and
    a job pings with two in its output."""
    token, beat = up.desk.ask(
        """
        from forestall.estate.access import make_person, make_token
        from forestall.estate.models import Asset
        from forestall.estate.tenancy import system_scope
        from forestall.estate.values import Role
        from forestall.intake.heartbeats import add_heartbeat, secret_of
        kim = make_person(name="Kim", email="kim@example.org", role=Role.OWNER, actor="test",
                          password="correct horse battery staple", all_clients=True)
        one = Asset.objects.get(name="d0")
        beat = add_heartbeat(system_scope("test"), asset=one, name="nightly")
        token = make_token(kim, name="push", may=["intake"], client=one.client_id, asset=one.pk)[1]
        return token, secret_of(beat)
        """
    )
    said = [SAID[place % len(SAID)].format(secret) for place, secret in enumerate(secrets)]
    with socket.create_connection(("127.0.0.1", up.port("syslog"))) as line:
        for text in said[::2]:
            line.sendall(f"<189>{time.strftime('%b %e %H:%M:%S', time.gmtime())} d0 {text}\n".encode())
    pairs = list(zip(said, secrets, strict=True))[1::2]
    rows = [{"_msg": text, "api_key": secret, "host": "d0"} for text, secret in pairs]
    for body in ("\n".join(map(json.dumps, rows)), f'{{"password": "{secrets[0]}", broken'):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/stream+json"}
        request = urllib.request.Request(f"{up.url}/insert/jsonline", body.encode(), headers)
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=30).close()
    printed = f"backing up\npassword={secrets[1]}\nlogged command:snmp-server community {secrets[2]} RO\n"
    urllib.request.urlopen(f"{up.url}/ping/{beat}/fail", printed.encode(), timeout=30).close()
    return len(said)


def stored(up: Installation) -> list[str]:
    """Every line that the store has of d0, as a search shows it and as it was received, with its fields."""
    found: list[str] = up.desk.ask(
        f"""
        import time
        from forestall.estate.models import Asset
        from forestall.kernel.ids import to_number
        from forestall.telemetry.client import Store, StoreUnavailable
        from forestall.telemetry.scope import EVERY
        from forestall.telemetry.search import search_logs
        store = Store("127.0.0.1", {up.port("store")}, password=found.data.key("store").hex())
        now_ms = int(time.time() * 1000)
        lines, before, asset = [], None, to_number(Asset.objects.get(name="d0").pk)
        try:
            while True:
                page = search_logs(store, "", clients=EVERY, from_ms=now_ms - 400 * 86_400_000,
                                   to_ms=now_ms + 600_000, limit=1000, asset=asset, before=before)
                lines += [f"{{one.source}}: {{one.message}} {{one.raw}} {{one.attrs}}" for one in page.lines]
                before = page.next
                if before is None:
                    return lines
        except StoreUnavailable:
            return []
        """
    )
    return found


def look_through(secrets: list[str], what: str, data: bytes) -> None:
    found = [secret for secret in secrets if secret.encode() in data]
    near = data[max(0, data.find(found[0].encode()) - 120) :][:160] if found else b""
    assert not found, f"{len(found)} secrets in {what}: …{near!r}…"


def unpacked(data: bytes) -> bytes:
    """Plain, where it is zstd."""
    try:
        return zstandard.ZstdDecompressor().stream_reader(data).read()
    except zstandard.ZstdError:
        return data


def watch(up: Installation, plan: Path) -> None:
    """An asset, a credential and a probe for each device, asked by the agent."""
    up.desk.ask(
        f"""
        import json
        from forestall.estate.actions import add_asset, add_client, add_probe
        from forestall.estate.credentials import add_credential, credential_for
        from forestall.estate.models import Client, Collector
        from forestall.estate.tenancy import system_scope
        scope = system_scope("test")
        agent = Collector.objects.exclude(platform="server").get()
        for place, one in enumerate(json.load(open({str(plan)!r}))):
            asset = add_asset(scope, client=agent.client_id, name=f"d{{place}}", kind="switch",
                              addresses=["127.0.0.1"] if place == 0 else [])
            fields = {{name: one[name] for name in ("user", "password", "enable") if one[name]}}
            row = add_credential(scope, client=agent.client_id, name=f"c{{place}}", kind="ssh", fields=fields)
            add_probe(scope, asset=asset, kind="device", target=f"127.0.0.1:{{one['port']}}",
                      settings={{"recipe": one["recipe"]}}, interval_s=3600, collector=agent.pk,
                      credential=credential_for(scope, asset, row.pk, kinds=("ssh",)))
        return True
        """
    )


def change(up: Installation, secret: str) -> None:
    """The first device's log says that it was changed, with a secret in the line."""
    lines = (
        "%SYS-5-CONFIG_I: Configured from console by ana on vty0 (10.0.0.5)",
        f"%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:snmp-server community {secret} RO",
        "%ASA-5-111010: User 'ana', running 'CLI' from IP 10.0.0.5, executed 'username b password "
        + secret
        + "'",
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        for text in lines:
            packet = f"<189>Nov 23 08:00:00 d0 {text}".encode()
            line.sendto(packet, ("127.0.0.1", up.port("syslog")))


def count(up: Installation, what: str) -> int:
    return int(
        up.desk.ask(
            f"""
            from forestall.alerts.models import Evidence
            from forestall.configs.models import Change, Notice, Version
            models = dict(versions=Version, changes=Change, notices=Notice, evidence=Evidence)
            found = models[{what!r}].objects
            return found.filter(**({{"finding__asset__name": "d0"}} if {what!r} == "evidence"
                                   else {{"asset__name__startswith": "d"}})).count()
            """
        )
    )


def assets_captured(up: Installation) -> int:
    return int(
        up.desk.ask(
            """
            from forestall.configs.models import Version
            return Version.objects.filter(asset__name__startswith="d").values("asset").distinct().count()
            """
        )
    )


def everything_said(up: Installation) -> str:
    """The texts of all versions, changes, notices, refusals, findings, journal entries and evidence."""
    found: str = up.desk.ask(
        """
        import json
        from django.apps import apps
        from django.utils import timezone
        from forestall.alerts.evidence import export_document
        from forestall.alerts.models import Evidence
        from forestall.configs.models import Version
        from forestall.configs.texts import text_of
        from forestall.estate.tenancy import system_scope
        parts = [text_of(one) for one in Version.objects.select_related("content")]
        scope = system_scope("test")
        parts += [export_document(scope, one.pk, now=timezone.now()).decode(errors="replace")
                  for one in Evidence.objects.all()]
        for model in apps.get_models():
            for row in model._base_manager.all():
                for field in model._meta.concrete_fields:
                    value = getattr(row, field.attname)
                    is_bytes = isinstance(value, (bytes, memoryview))
                    parts.append(bytes(value).decode(errors="replace") if is_bytes else str(value))
        return "\\n".join(parts)
        """
    )
    return found


STARTUP, RUNNING = "show startup-config", "show running-config"
BROUGHT = {"left-baseline", "configuration-unsaved", "secret-well-known"}


def test_what_somebody_types_at_a_switch_is_seen_named_and_judged(up: Installation) -> None:
    """A switch as we set it up; then the client's ana opens it with a community that everybody knows, without
    saving it. Within seconds, not at the next hour: the change with her name, what the spec says of it, and
    on the ticket that comes next that it was not us. When it is put back, everything is over."""
    device = recording("cisco-ios")
    running = device.given["answers"][RUNNING]
    device.given["answers"][STARTUP] = running.replace("Building configuration...\n\n", "")
    with served([(device, "Story-pw-1")]) as (port,):
        asset = story(up, port, device.given["enable"])
        poll(lambda: name_baseline(up, asset), within_s=CAPTURED_S, what="the first capture, its baseline")
        known = open_rules(up, asset)
        assert not BROUGHT & known
        device.given["answers"][RUNNING] = running.replace(
            "logging host", "snmp-server community public RW\nlogging host", 1
        )
        # which devices are captured is looked at every 10 s: a line before that asks for nothing
        poll(lambda: log_line(up, asset), within_s=60, what="a line that is noticed", every_s=4)
        poll(lambda: open_rules(up, asset) >= BROUGHT, within_s=60, what=f"{BROUGHT} of it")
        said = told(up, asset)
        assert said["named"] == ["ana from 10.0.0.5"] and "snmp-server community ‹secret" in said["summary"]
        assert "ana" in said["before"] and "nobody of ours" in said["before"]
        device.given["answers"][RUNNING] = running
        capture_now(up, asset)
        poll(lambda: not BROUGHT & open_rules(up, asset), within_s=90, what="the end of it")


def story(up: Installation, port: int, enable: str) -> str:
    """A switch at 127.0.0.8 that the agent captures; its identifier."""
    found: str = up.desk.ask(
        f"""
        from forestall.estate.actions import add_asset, add_probe
        from forestall.estate.credentials import add_credential, credential_for
        from forestall.estate.models import Collector
        from forestall.estate.tenancy import system_scope
        scope = system_scope("test")
        agent = Collector.objects.exclude(platform="server").get()
        asset = add_asset(scope, client=agent.client_id, name="sw-story", kind="switch",
                          addresses=["127.0.0.8"])
        row = add_credential(scope, client=agent.client_id, name="story", kind="ssh",
                             fields={{"user": {USER!r}, "password": "Story-pw-1", "enable": {enable!r}}})
        add_probe(scope, asset=asset, kind="device", target="127.0.0.1:{port}",
                  settings={{"recipe": "cisco-ios"}}, interval_s=3600, collector=agent.pk,
                  credential=credential_for(scope, asset, row.pk, kinds=("ssh",)))
        return asset.pk
        """
    )
    return found


def name_baseline(up: Installation, asset: str) -> bool:
    """Name the first version of the running configuration; whether it was there."""
    return bool(
        up.desk.ask(
            f"""
            from django.utils import timezone
            from forestall.configs.actions import name_baseline
            from forestall.configs.models import Version
            from forestall.estate.tenancy import system_scope
            row = Version.objects.filter(asset={asset!r}, kind="running").first()
            if row is None:
                return False
            name_baseline(system_scope("test"), row.pk, because="As we set it up.", now=timezone.now())
            return True
            """
        )
    )


def open_rules(up: Installation, asset: str) -> set[str]:
    return set(
        up.desk.ask(
            f"""
            from forestall.findings.models import Finding
            rows = Finding.objects.filter(asset={asset!r}, ended_at=None)
            return list(rows.values_list("rule", flat=True))
            """
        )
    )


def told(up: Installation, asset: str) -> dict[str, Any]:
    """The last change, and what a ticket that a person opens now says of what happened before."""
    found: dict[str, Any] = up.desk.ask(
        f"""
        from django.utils import timezone
        from forestall.configs.models import Change
        from forestall.estate.models import Asset
        from forestall.estate.tenancy import system_scope
        from forestall.tickets.actions import open_by_hand
        from forestall.tickets.before import self_repair_of
        scope = system_scope("test")
        change = Change.objects.filter(asset={asset!r}).latest("at")
        client = Asset.objects.get(pk={asset!r}).client_id
        ticket = open_by_hand(scope, client=client, asset={asset!r}, title="No network", now=timezone.now())
        before = self_repair_of(scope, ticket).text
        return {{"named": change.named, "summary": change.summary, "before": before}}
        """
    )
    return found


def capture_now(up: Installation, asset: str) -> None:
    """As the button on its page does."""
    up.desk.ask(
        f"""
        from django.utils import timezone
        from forestall.estate.actions import ask_now
        from forestall.estate.models import Probe
        from forestall.estate.tenancy import system_scope
        return ask_now(system_scope("test"), Probe.objects.filter(asset={asset!r}), now=timezone.now())
        """
    )


def log_line(up: Installation, asset: str) -> bool:
    """The switch logs that it was configured; whether such a line was noticed by now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.8", 0))
        stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())
        text = "%SYS-5-CONFIG_I: Configured from console by ana on vty0 (10.0.0.5)"
        line.sendto(f"<189>{stamp} sw-story {text}".encode(), ("127.0.0.1", up.port("syslog")))
    asked = (
        f"from forestall.configs.models import Notice\nreturn Notice.objects.filter(asset={asset!r}).count()"
    )
    return bool(up.desk.ask(asked))
