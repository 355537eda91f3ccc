"""Two clients for the tenancy matrix: the readers' own, and one with a thing of every kind."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from billing_seed import billed, reckoned
from desk_seed import desk_set_up
from estate_factories import EVERYTHING, make_asset, make_client, make_person, make_site
from forestall.alerts.actions import open_window
from forestall.alerts.channels import create_channel
from forestall.alerts.models import Alert, Evidence
from forestall.backups.actions import add_plan
from forestall.backups.models import BackupRun, Proof
from forestall.backups.taking import take_reports
from forestall.backups.values import PlanTerms
from forestall.configs.actions import store_snapshot
from forestall.estate.access import make_token
from forestall.estate.actions import add_contact, add_probe
from forestall.estate.credentials import add_credential
from forestall.estate.enrolment import enrol_collector, make_enrolment_token
from forestall.estate.models import Client, Collector, Tag
from forestall.estate.values import Role
from forestall.findings.models import Finding, Override
from forestall.intake.decoded import PlacedBackup
from forestall.intake.heartbeats import add_heartbeat
from forestall.intake.models import RejectedInput, Stranger
from forestall.judge.values import State
from forestall.keeping.actions import hold
from forestall.kernel.backups import ProofReport, RunReport
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import Snapshot
from forestall.mail.blobs import Blobs
from forestall.mail.models import Attachment
from forestall.networks.models import Sighting
from forestall.problems.actions import add_hypothesis, open_problem
from forestall.tickets.models import ChecklistItem, Ticket
from forestall.tickets.reporting import Told, report
from mail_seed import mailed
from road_factories import Road, transition

NOBODYS = "0" * 13  # an identifier that nothing has


@dataclass(frozen=True, slots=True)
class World:
    """`mine` is what readers see. `foreign`: identifiers of the other client by the name that an address,
    a query or a body has for them."""

    mine: Client
    foreign: dict[str, str]


def make_world(now: datetime) -> World:
    """Everything that an identifier in an address can name."""
    mine, other = make_client(), make_client()
    make_asset(mine)
    site = make_site(other)
    asset = make_asset(other, site=site)
    tag = Tag.objects.create(client=other, name="production")
    asset.tags.add(tag)
    contact = add_contact(EVERYTHING, client=other.pk, name="Pat Ames", email="pat@client.example")
    probe = add_probe(EVERYTHING, asset=asset, kind="icmp", target="10.4.0.1")
    credential = add_credential(
        EVERYTHING, client=other.pk, name="switches", kind="snmp_v2c", fields={"community": "theirs"}
    )
    heartbeat = add_heartbeat(EVERYTHING, asset=asset, name="nightly")
    enrolment, _ = make_enrolment_token(EVERYTHING, client=other.pk)
    _, secret = make_enrolment_token(EVERYTHING, client=other.pk)
    collector = enrol_collector(
        secret, public_key=b"\x07" * 32, hostname="pc-1", platform="linux", version="1", addresses=[], now=now
    )
    person = make_person(role=Role.READ_ONLY, clients=(other,))
    token, _ = make_token(person, name="theirs", may=["estate:read"], client=other.pk)
    window = open_window(
        EVERYTHING, client=other.pk, title="Switch", starts_at=now + timedelta(hours=1),
        ends_at=now + timedelta(hours=2), now=now,
    )  # fmt: skip
    channel = create_channel(
        EVERYTHING, notifier="webhook", title="Theirs", client=other.pk, now=now,
        given={"url": "http://127.0.0.1:9/", "secret": "shared", "allow_private": True},
    )  # fmt: skip
    override = Override.objects.create(
        client=other, asset=asset, rule="disk-full", settings={"off": True}, because="Meant to be full.",
        made_by="test", made_at=now,
    )  # fmt: skip
    rejected = RejectedInput.objects.create(
        client=other, door="syslog", sender="10.4.0.9", reason="short", count=1, first_at=now, last_at=now,
        raw=b"x",
    )  # fmt: skip
    stranger = Stranger.objects.create(
        client=other, door="loki", sender="theirs", reason="unknown", first_at=now, last_at=now, records=1
    )
    for before_s, text in ((60, "PermitRootLogin no\n"), (0, "PermitRootLogin yes\n")):
        at_ms = to_ms(now) - before_s * 1000
        shot = Snapshot(at_ms=at_ms, kind="sshd_config", title="sshd_config", text=text)
        stored = store_snapshot(other.pk, asset.pk, shot, now=now)
    assert stored.version and stored.change
    sighting = Sighting.objects.create(
        client=other, site=site, key="theirs", address="10.4.0.77", kind="other",
        reason="known by a ping alone", first_at=now, last_at=now,
    )  # fmt: skip
    swept_by = Collector.objects.get(pk=collector.id)
    Collector.objects.filter(pk=collector.id).update(site=site)
    add_probe(
        EVERYTHING, asset=swept_by.asset, kind="discover", target="declared ranges", collector=collector.id
    )
    at_ms = to_ms(now)
    plan = add_plan(
        EVERYTHING, asset=swept_by.asset, now=now, collector=collector.id,
        terms=PlanTerms(name="theirs", tool="restic", every_s=86_400, repository="/mnt/theirs"),
    )  # fmt: skip
    run = RunReport(plan=plan.pk, run="theirs", at_ms=at_ms, by="job", said="success", ended_ms=at_ms)
    drill = ProofReport(
        plan=plan.pk, proof="theirs", work="drill", began_ms=at_ms, ended_ms=at_ms, ok=True, reason="Held."
    )
    placed = [PlacedBackup(other.pk, plan.asset_id, collector.id, at_ms, one) for one in (run, drill)]
    assert not take_reports(placed, now=now).refused
    road = Road()
    road.now = now - timedelta(minutes=10)
    road.feed(transition(asset, State.BREAKING, at=road.now))
    road.wait(300)
    finding = Finding.objects.get(client=other)
    problem = open_problem(EVERYTHING, ticket=Ticket.objects.get(client=other).pk, now=now)
    hypothesis = add_hypothesis(EVERYTHING, problem.pk, text="theirs", now=now)
    item = ChecklistItem.objects.create(
        client=other, ticket=Ticket.objects.get(client=other), position=0, text="Look."
    )
    held = hold(EVERYTHING, client=other.pk, reason="Case 12.", now=now)
    bills: dict[str, str] = {"client": other.pk}
    billed(bills)
    reckoned(bills, now)
    mailed(bills, now)
    desk_set_up(bills, now)
    bills["ticket"] = Ticket.objects.get(client=other).pk
    told = Told(
        text="It is dark.", how_bad="hindered", asset=None, files=[("note.txt", "text/plain", b"dark")]
    )
    twin = report(EVERYTHING, contact, told, blobs=Blobs(settings.DATA.mail / "blobs"), now=now)
    bills["into"] = twin.pk
    bills["given_file"] = Attachment.objects.get(name="note.txt", message__client=other).pk
    return World(
        mine,
        bills
        | {
            "client": other.pk,
            "site": site.pk,
            "asset": asset.pk,
            "parent": asset.pk,
            "tag": tag.pk,
            "contact": contact.pk,
            "probe": probe.pk,
            "credential": credential.pk,
            "heartbeat": heartbeat.pk,
            "enrolment_token": enrolment.pk,
            "collector": collector.id,
            "person": person.pk,
            "assignee": person.pk,
            "token": token.pk,
            "window": window.pk,
            "channel": channel.pk,
            "override": override.pk,
            "rejected": rejected.pk,
            "stranger": stranger.pk,
            "snapshot": stored.version.pk,
            "version": stored.version.pk,
            "with": stored.version.pk,
            "change": stored.change.pk,
            "finding": finding.pk,
            "alert": Alert.objects.get(client=other).pk,
            "evidence": Evidence.objects.get(finding=finding).pk,
            "hold": held.pk,
            "sighting": sighting.pk,
            "problem": problem.pk,
            "hypothesis": hypothesis.pk,
            "ticket": bills["ticket"],
            "checklist_item": item.pk,
            "plan": plan.pk,
            "run": str(BackupRun.objects.get(plan=plan).pk),
            "proof": Proof.objects.get(plan=plan).pk,
            "elsewhere": collector.id,
        },
    )
