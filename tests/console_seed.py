"""A small provider whose console has something on every page; also a script for the browser tests.

`fill` makes business rows through the rooms' own actions. As a script it prepares the installation of
FORESTALL_DATA (tables, rows, telemetry in the running store) and prints what the browser needs as JSON.
"""

import json
import math
import random
import sys
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

PASSWORD = "correct horse battery staple"
OWNER = "jo.ortiz@provider.example"
MINUTE_MS = 60_000
MINUTES = 360
LINES = (
    (6, "sshd", "Accepted publickey for deploy from 10.4.0.9 port 50211 ssh2"),
    (6, "cron", "(root) CMD (/usr/local/bin/rotate-reports)"),
    (4, "nginx", "upstream timed out (110: Connection timed out) while reading response header"),
    (3, "kernel", "EXT4-fs warning (device sdb1): ext4_dx_add_entry: Directory index full!"),
    (6, "systemd", "Started Daily apt download activities."),
    (2, "smartd", "Device: /dev/sdb [SAT], 24 Currently unreadable (pending) sectors"),
)
SSHD = "# managed by provider\nPort 22\nPermitRootLogin no\nPasswordAuthentication no\nX11Forwarding no\n"
SSHD_AFTER = (
    "# managed by provider\nPort 22\nPermitRootLogin yes\nPasswordAuthentication no\nX11Forwarding no\n"
    "AllowUsers deploy\n"
)


@dataclass
class Seeded:
    """Identifiers by the name that an address has for them (`asset`, `client`, …), and of somebody else's."""

    ids: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    session: str = ""


def fill(now: datetime, *, clients: int = 5, nights: int = 5) -> Seeded:
    """Rows for every page. `foreign` are things of a client that a narrow reader does not see."""
    from billing_seed import billed, reckoned
    from desk_seed import desk_set_up
    from estate_factories import EVERYTHING
    from forestall.alerts.actions import open_window
    from forestall.alerts.channels import create_channel
    from forestall.estate.actions import add_asset, add_client, add_contact, add_probe, add_site
    from forestall.estate.credentials import add_credential
    from forestall.estate.models import Collector
    from forestall.intake.heartbeats import Heard, add_heartbeat, note_ping
    from mail_seed import mailed

    names = ("Fairway Motors", "Harbor Credit Union", "Dunmore Clinic", "Juniper Hotels", "Alder Dental")
    found = Seeded()
    for name in names[:clients]:
        client = add_client(EVERYTHING, name=name)
        site = add_site(EVERYTHING, client=client.pk, name="Main office", ranges=["10.4.0.0/24"])
        add_contact(EVERYTHING, client=client.pk, name="Pat Ames", email="pat@client.example")
        prefix = name.split()[0].lower()
        firewall = add_asset(
            EVERYTHING, client=client.pk, name=f"fw-{prefix}", kind="firewall", site=site.pk,
            addresses=["10.4.0.1"],
        )  # fmt: skip
        server = add_asset(
            EVERYTHING, client=client.pk, name=f"srv-{prefix}", kind="server", site=site.pk,
            parent=firewall.pk, addresses=["10.4.0.9"], tags=["production"], notes="Second shelf, left.",
        )  # fmt: skip
        add_probe(EVERYTHING, asset=firewall, kind="icmp", target="10.4.0.1")
        credential = add_credential(
            EVERYTHING, client=client.pk, name=f"{prefix}, reading", kind="ssh",
            fields={"user": "reader", "password": "not shown"},
        )  # fmt: skip
        collector = Collector.objects.create(
            client=client, site=site, asset=server, public_key=b"k" * 32, key_since=now, enrolled_at=now,
            last_seen_at=now, version="0.1.0", platform="Linux 6.1",
        )  # fmt: skip
        add_probe(EVERYTHING, asset=firewall, kind="tcp", target="10.4.0.1:22", collector=collector.pk)
        polled = add_probe(
            EVERYTHING, asset=firewall, kind="snmp", target="10.4.0.1", collector=collector.pk,
            settings={"leave_out": ["Vlan*"]},
        )  # fmt: skip
        beat = add_heartbeat(EVERYTHING, asset=server, name="nightly backup")
        note_ping(beat.pk, Heard(kind="fail", at=now - timedelta(hours=3), peer="10.4.0.9", status=2,
                                 agent="curl/8", body=b"disk full"))  # fmt: skip
        web = add_asset(EVERYTHING, client=client.pk, name=f"www.{prefix}.example", kind="website")
        if name == names[0]:
            found.ids |= {
                "client": client.pk,
                "site": site.pk,
                "asset": server.pk,
                "website": web.pk,
                "heartbeat": beat.pk,
                "credential": credential.pk,
                "collector": collector.pk,
                "probe": polled.pk,
            }
        if name == names[1]:
            found.foreign |= {"client": client.pk, "site": site.pk, "asset": server.pk, "heartbeat": beat.pk}
            found.foreign |= {"credential": credential.pk, "collector": collector.pk, "probe": polled.pk}
    create_channel(
        EVERYTHING, notifier="webhook", title="On call",
        given={"url": "http://127.0.0.1:9/", "secret": "shared", "allow_private": True}, now=now,
    )  # fmt: skip
    open_window(
        EVERYTHING, client=found.ids["client"], title="Switch replacement",
        starts_at=now + timedelta(hours=20), ends_at=now + timedelta(hours=22), now=now,
    )  # fmt: skip
    for ids in (found.ids, found.foreign):
        if ids:
            billed(ids)
            reckoned(ids, now)
            _discover(ids, now)
            _back_up(ids, now, nights=nights)
            _break(ids, now)
            _configure(ids, now)
            _recur(ids, now)
            mailed(ids, now)
            desk_set_up(ids, now)
            _reject(ids, now)
            _estrange(ids, now)
    _drift_and_prevent(found, now)
    return found


def _discover(ids: dict[str, str], now: datetime) -> None:
    """A sweep of the site: a firewall, a switch, what hangs on it, and strangers."""
    from forestall.kernel.clock import to_ms
    from forestall.kernel.observations import Link, Sighting, Sweep
    from forestall.networks.actions import PlacedSweep, take_sweeps
    from forestall.networks.models import Sighting as Row

    at_ms = to_ms(now)

    def seen(last: int, name: str, **more: object) -> Sighting:
        mac = f"00:1b:54:00:00:{last:02x}"
        names = [name] if name else []
        return Sighting(at_ms, f"10.4.0.{last}", mac, names, "Cisco Systems, Inc", by=["ping"], **more)

    prefix = "fairway" if ids["client"] else ""
    devices = [
        seen(1, f"fw-{prefix}", description="FortiGate-60F v7.2", forwards=True),
        seen(2, "sw-main", description="Cisco IOS Software, C2960X Software", ports=[22]),
        seen(3, "sw-floor", description="Cisco IOS Software, C2960X Software", ports=[22]),
        *(seen(number, f"pc-{number}", ports=[135, 445]) for number in range(20, 32)),
        seen(60, "", ports=[515, 9100]),
    ]
    links = [
        Link("route", "10.4.0.20", "eth0", address="10.4.0.1"),
        Link("lldp", "10.4.0.2", "Gi0/48", address="10.4.0.1", name="fw", remote_port="port1"),
        Link("lldp", "10.4.0.3", "Gi0/24", address="10.4.0.2", name="sw-main", remote_port="Gi0/1"),
        Link("lldp", "10.4.0.3", "Gi0/23", address="10.4.0.1", remote_port="port2", blocked=True),
        *(
            Link("fdb", f"10.4.0.{2 + n % 2}", f"Gi0/{n}", mac=f"00:1b:54:00:00:{n:02x}")
            for n in range(20, 32)
        ),
    ]
    taken = PlacedSweep(
        client=ids["client"], asset=ids["asset"], collector=ids["collector"], at_ms=at_ms,
        reason="16 devices at 254 of 254 addresses", sweep=Sweep(devices, links, asked=254),
    )  # fmt: skip
    take_sweeps([taken])
    rows = Row.objects.filter(client=ids["client"], asset=None).order_by("pk")
    ids["sighting"] = rows[0].pk
    rows.filter(address="10.4.0.31").update(dismissed_at=now, dismissed_by="Ada")


def _back_up(ids: dict[str, str], now: datetime, *, nights: int) -> None:
    """A plan that went well for weeks and whose source is empty since yesterday; a second one that is new."""
    from backup_seed import back_up

    ids |= back_up(
        client=ids["client"], asset=ids["asset"], collector=ids["collector"], now=now, nights=nights
    )


def _break(ids: dict[str, str], now: datetime) -> None:
    """A full disk that is told, with its evidence, alert and ticket; a silence; a failed unit."""
    from estate_factories import EVERYTHING
    from forestall.alerts.models import Alert, Channel, Evidence
    from forestall.estate.models import Asset
    from forestall.findings.models import Finding, Override
    from forestall.judge.values import State
    from forestall.tickets.actions import note
    from forestall.tickets.models import Ticket
    from road_factories import Road, transition

    server = Asset.objects.get(pk=ids["asset"])
    road = Road()
    road.now = now - timedelta(minutes=40)
    road.feed(
        transition(
            server, State.OUT_OF_SPEC, rule="disk-full", item="/srv", at=road.now, metric="disk.used_ratio",
            reason="/srv is 94.2% full, above 92% for 5 min. At this pace it is full in 2 days.",
            first_step="See what grew with du -xh --max-depth=2.", numbers={"disk.used_ratio": 0.942},
        )
    )  # fmt: skip
    road.wait(60)
    road.feed(
        transition(
            server.parent, State.SILENT, rule="asset-silent", at=road.now,
            reason=f"{server.parent.name} was last heard 12 min ago; it is expected every minute.",
        )
    )  # fmt: skip
    road.wait(60)
    road.feed(
        transition(
            server, State.BREAKING, rule="service-failed", item="postgresql.service", at=road.now,
            metric="service.failed", reason="postgresql.service failed 3 min ago and did not start again.",
        )
    )  # fmt: skip
    road.wait(60)
    ticket = Ticket.objects.filter(client=server.client_id).order_by("number").first()
    note(EVERYTHING, ticket.pk, text="Called Pat. The reports of March can go.", now=road.now)
    Override.objects.create(
        client=server.client, asset=server, rule="disk-full", settings={"out_of_spec": {"above": "95%"}},
        because="The archive disk is meant to be full.", made_by=OWNER, made_at=now,
    )  # fmt: skip
    finding = Finding.objects.filter(client=server.client_id, rule="disk-full").get()
    ids |= {
        "ticket": ticket.pk,
        "finding": finding.pk,
        "alert": Alert.objects.filter(client=server.client_id).order_by("opened_at").first().pk,
        "evidence": Evidence.objects.filter(finding=finding).get().pk,
        "channel": Channel.objects.get().pk,
        "override": Override.objects.get(client=server.client_id).pk,
    }


def _configure(ids: dict[str, str], now: datetime) -> None:
    from estate_factories import EVERYTHING
    from forestall.configs.actions import name_baseline, store_snapshot
    from forestall.configs.models import Configuration
    from forestall.estate.models import Asset
    from forestall.kernel.clock import to_ms
    from forestall.kernel.observations import Snapshot

    asset = Asset.objects.get(pk=ids["asset"])
    for before, text in ((600, SSHD), (50, SSHD_AFTER)):
        shot = Snapshot(
            at_ms=to_ms(now) - before * MINUTE_MS, kind="sshd_config", title="sshd_config", text=text,
            signed_in=["deploy from 10.4.0.30"],
        )  # fmt: skip
        stored = store_snapshot(asset.client_id, asset.pk, shot, now=now)
        if stored.version:
            ids["version"] = stored.version.pk
        if stored.change:
            ids["change"] = stored.change.pk
            name_baseline(EVERYTHING, stored.change.before_id, because="As it was handed over.", now=now)
            Configuration.objects.filter(asset=asset).update(
                judged={
                    "version": 2,
                    "held": ["sshd-empty-password"],
                    "broken": {
                        "sshd-root-by-password": "root may sign in with a password: line 3",
                        "left-baseline": "not like its baseline, version 1: PermitRootLogin no → yes",
                    },
                }
            )
    ports = "".join(f"interface Gi1/0/{n}\n description desk {n}\n!\n" for n in range(1, 13))
    for place, (member, ntp) in enumerate((("fw", "10.4.0.1"), ("www", "10.4.0.1"), ("srv", "10.9.9.9"))):
        device = Asset.objects.filter(client=asset.client_id, name__startswith=member).get()
        for before, way in ((2000, "telnet ssh"), (90, "ssh")):
            lines = f"line vty 0 4\n transport input {way}\n"
            text = f"version 15.2\nhostname {member}\n{ports}ntp server {ntp}\n{lines}"
            shot = Snapshot(
                to_ms(now) - (before + place) * MINUTE_MS, "running", text, "Running configuration"
            )
            store_snapshot(asset.client_id, device.pk, shot, now=now)
    refused = Snapshot(at_ms=to_ms(now), kind="firewall", text="", problem="nft: permission denied")
    store_snapshot(asset.client_id, asset.pk, refused, now=now)


def _recur(ids: dict[str, str], now: datetime) -> None:
    """A problem with suspects, what somebody thinks, and what is known."""
    from estate_factories import EVERYTHING
    from forestall.problems import actions
    from forestall.problems.rounds import go_round

    go_round(now=now)
    problem = actions.open_problem(EVERYTHING, ticket=ids["ticket"], now=now)
    thought = actions.add_hypothesis(EVERYTHING, problem.pk, text="The archive job keeps too much.", now=now)
    actions.describe(
        EVERYTHING, problem.pk, root_cause="Reports are never removed.", workaround="Remove the oldest.",
        now=now,
    )  # fmt: skip
    actions.write_article(
        EVERYTHING, client=problem.client_id, key=problem.key, title="When /srv is full",
        text="Remove last year's reports first; then look at the archive job.", now=now,
    )  # fmt: skip
    ids |= {"problem": problem.pk, "hypothesis": thought.pk}


def _reject(ids: dict[str, str], now: datetime) -> None:
    from forestall.intake.models import RejectedInput

    for sender, reason, raw in (
        (
            "10.0.0.5",
            "unknown sender 10.0.0.5: give that address to an asset",
            b"<13>Nov 23 02:11:09 sw-3 up",
        ),
        ("10.4.0.9", "the length before the frame is not a number", b"\x00\xff<999>garbage \x1b[31m\n" * 9),
    ):
        row = RejectedInput.objects.create(
            client_id=ids["client"], door="syslog", sender=sender, reason=reason, count=42, first_at=now,
            last_at=now, raw=raw,
        )  # fmt: skip
        ids["rejected"] = row.pk


def _estrange(ids: dict[str, str], now: datetime) -> None:
    """Senders that nobody knows, and a batch that was set aside."""
    from django.conf import settings

    from forestall.intake.models import Stranger
    from forestall.intake.poison import About, Poison
    from forestall.kernel.clock import to_ms

    for client, door, sender, state in (
        (ids["client"], "loki", "<b>web-7</b>.alder.example", "waiting"),
        (ids["client"], "otlp", "web-8.alder.example", "ignored"),
        (None, "syslog", f"10.66.0.{Stranger.objects.count()}", "waiting"),
    ):
        row = Stranger.objects.create(
            client_id=client, door=door, sender=sender, state=state, first_at=now, last_at=now, records=42,
            kept_records=40, newer_bytes=4000, dropped_records=2, reason="unknown sender: give it to one",
            example="<13>Nov 23 02:11:09 sw-3 <i>up</i>",
        )  # fmt: skip
        ids.setdefault("stranger", row.pk)
    about = About("watch", "store", "the store: no such column", to_ms(now), 1)
    Poison(settings.DATA.queue / "poison").set_aside("watch:1-2", [b"frame"], about)


def _drift_and_prevent(found: Seeded, now: datetime) -> None:
    """Something that drifts now, and something that drifted and went back: prevented."""
    from forestall.estate.models import Asset
    from forestall.judge.values import State
    from road_factories import Road, transition

    web = Asset.objects.get(pk=found.ids["website"])
    road = Road()
    began = max(now - timedelta(hours=3), now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    road.now = began
    drifting = {"rule": "certificate-ends", "item": f"{web.name}:443", "tells": False}
    road.feed(
        transition(web, State.DRIFTING, at=began, reason="The certificate ends in 20 days.", **drifting)
    )
    slow = {"rule": "answers-slowly", "item": "", "tells": False}
    road.feed(transition(web, State.DRIFTING, at=began, reason="Answers take 1.9 s.", **slow))
    road.feed(
        transition(web, State.IN_SPEC, was=State.DRIFTING, at=now, began=began, reason="0.3 s again.", **slow)
    )


def people(now: datetime) -> str:
    """An owner with a token, and a session of theirs; its key."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from forestall.estate.access import make_person, make_token
    from forestall.estate.values import Role

    owner = make_person(
        name="Jo Ortiz", email=OWNER, role=Role.OWNER, actor="test", password=PASSWORD, all_clients=True
    )
    make_token(owner, name="Nightly report", may=["estate:read"], expires_at=now + timedelta(days=90))
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = owner.pk
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = owner.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def observe(found: Seeded, now_ms: int) -> None:
    """Six hours of samples and log lines of the first server, into the running store."""
    import numpy as np
    import pyarrow as pa
    from django.conf import settings

    from contract.telemetry_store import write_logs
    from forestall.kernel.columns import LogColumns, SampleColumns
    from forestall.kernel.ids import to_number
    from forestall.telemetry.client import Store
    from forestall.telemetry.write import insert_samples

    store = Store("127.0.0.1", settings.CONFIG.port("store"), password=settings.DATA.key("store").hex())
    store.wait_ready(30)
    store.ensure_schema()
    client, asset = to_number(found.ids["client"]), to_number(found.ids["asset"])
    rng = random.Random(4)
    rows: list[tuple[str, str, int, float]] = []
    for minute in range(MINUTES):
        at = now_ms - (MINUTES - minute) * MINUTE_MS
        wave = math.sin(minute / 57)
        rows += [
            ("cpu.used_ratio", "", at, min(1, max(0.02, 0.3 + 0.2 * wave + rng.gauss(0, 0.03)))),
            ("memory.used_ratio", "", at, 0.61 + 0.05 * wave),
            ("disk.used_ratio", "/", at, 0.43),
            ("disk.used_ratio", "/srv", at, 0.80 + 0.142 * minute / MINUTES),
            ("disk.size_bytes", "/srv", at, 2e12),
            ("load.per_core", "", at, max(0.0, 0.6 + 0.4 * wave + rng.gauss(0, 0.1))),
            ("network.in_bytes_per_s", "eth0", at, max(0.0, 3e6 + 2e6 * wave + rng.gauss(0, 2e5))),
            ("network.out_bytes_per_s", "eth0", at, max(0.0, 1e6 - 4e5 * wave + rng.gauss(0, 1e5))),
        ]
    size = len(rows)
    insert_samples(
        store,
        SampleColumns(
            client=np.full(size, client, np.uint64), asset=np.full(size, asset, np.uint64),
            metric=pa.array([row[0] for row in rows]), item=pa.array([row[1] for row in rows]),
            at_ms=np.array([row[2] for row in rows], np.int64), value=np.array([row[3] for row in rows]),
        ),
        token="seed-samples",
    )  # fmt: skip
    lines = [(now_ms - number * 70_000, *LINES[number % len(LINES)]) for number in range(280)]
    size = len(lines)
    at_ms = np.array([line[0] for line in lines], np.int64)
    blank = pa.array([""] * size)
    write_logs(
        store,
        LogColumns(
            client=np.full(size, client, np.uint64), asset=np.full(size, asset, np.uint64), at_ms=at_ms,
            received_at_ms=at_ms, severity=np.array([line[1] for line in lines], np.uint8),
            facility=np.full(size, 3, np.uint8), source=pa.array([line[2] for line in lines]),
            host=pa.array(["srv-fairway"] * size), message=pa.array([line[3] for line in lines]), raw=blank,
            attrs=blank,
        ),
        token="seed-logs",
    )  # fmt: skip


def disturb() -> None:
    """Something goes wrong while somebody looks: what the live stream must show."""
    from django.utils import timezone

    from forestall.estate.models import Asset
    from forestall.judge.values import State
    from road_factories import Road, transition

    road = Road()
    road.now = timezone.now()
    asset = Asset.objects.get(name="www.alder.example")
    road.feed(transition(asset, State.BREAKING, at=road.now, reason="The website answers 502 since now."))


def way_in() -> str:
    """The secret of a link into the portal, of a contact with an address of their own."""
    from django.utils import timezone

    from forestall.estate.models import Contact
    from forestall.mail.sign_in import make_link

    contact = Contact.objects.filter(client__archived_at=None).order_by("pk")[0]
    contact.email = "pat.portal@client.example"
    contact.save()
    made = make_link(contact.email, now=timezone.now())
    assert made is not None
    return made.secret


def main() -> None:
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "forestall.web.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from forestall.kernel.clock import to_ms

    if sys.argv[1:] == ["disturb"]:
        disturb()
        return
    if sys.argv[1:] == ["portal"]:
        print(way_in())
        return
    if sys.argv[1:2] == ["client"]:
        from estate_factories import make_client

        make_client(sys.argv[2])
        return
    call_command("migrate", verbosity=0)
    now = timezone.now()
    found = Seeded()
    if sys.argv[1:] != ["empty"]:
        found = fill(now, nights=60)
        observe(found, to_ms(now))
    found.session = people(now)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
