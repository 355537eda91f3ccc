"""A client with a server, its agent, and a backup plan, for tests; reports as an agent makes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from estate_factories import EVERYTHING, make_asset, make_client
from forestall.backups.actions import add_plan
from forestall.backups.models import BackupPlan
from forestall.backups.taking import Taken, take_reports
from forestall.backups.values import PlanTerms
from forestall.estate import enrolment
from forestall.estate.models import Asset, Client
from forestall.intake.decoded import PlacedBackup
from forestall.kernel.backups import (
    BackupReport,
    Canary,
    CopySeen,
    Manifest,
    ProofReport,
    RepositoryReport,
    RunReport,
)
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import new_id

PASSWORD = "four-Words-of-0ld"
GIB = 1 << 30


@dataclass
class Site:
    """What a test needs to hand."""

    client: Client
    asset: Asset
    collector: str
    plan: BackupPlan

    def take(self, *reports: BackupReport, collector: str = "", client: str = "", now: Any = None) -> Taken:
        """As they come from the agent."""
        return take_reports(
            [
                PlacedBackup(client or self.client.pk, self.asset.pk, collector or self.collector, 0, one)
                for one in reports
            ],
            now=now or timezone.now(),
        )


def make_collector(client: Client, asset: Asset | None = None) -> str:
    _, token = enrolment.make_enrolment_token(EVERYTHING, client=client.pk, asset=asset.pk if asset else None)
    return enrolment.enrol_collector(
        token, public_key=b"\x05" * 32, hostname="box", platform="linux", version="1", addresses=[],
        now=timezone.now(),
    ).id  # fmt: skip


def terms(name: str = "files", **more: Any) -> PlanTerms:
    return PlanTerms(
        **{
            "name": name, "tool": "restic", "every_s": 86_400, "repository": "/mnt/disk/repo",
            "sources": ("/srv/data",), "settings": {"password": PASSWORD},
        } | more
    )  # fmt: skip


def make_backups(*, now: datetime | None = None, **more: Any) -> Site:
    client = make_client()
    asset = make_asset(client)
    collector = make_collector(client, asset)
    made_at = now or timezone.now() - timedelta(days=30)
    plan = add_plan(EVERYTHING, asset=asset, terms=terms(**more), now=made_at, collector=collector)
    return Site(client, asset, collector, plan)


def run_at(plan: BackupPlan, at: datetime, **more: Any) -> RunReport:
    """A night's run that went well."""
    ended_ms = to_ms(at)
    copy = more.pop("copy", f"{ended_ms:016x}" * 4)
    return RunReport(
        **{
            "plan": plan.pk, "run": new_id(), "at_ms": ended_ms, "by": "job", "said": "success",
            "began_ms": ended_ms - 300_000, "ended_ms": ended_ms, "tool": "restic", "version": "0.14.0",
            "exit_code": 0, "output": "snapshot saved", "copy": copy, "files": 10_000, "size": 50 * GIB,
            "files_new": 20, "files_changed": 100, "added": GIB // 4,
            "manifest": Manifest("ab" * 32, ended_ms, 10_000, 50 * GIB),
            "canary": Canary("cd" * 32, ended_ms - 300_000, "/srv/data/.forestall-canary/canary"),
        } | more
    )  # fmt: skip


def look_at(plan: BackupPlan, at: datetime, *runs: RunReport, **more: Any) -> RepositoryReport:
    copies = [
        CopySeen(key=run.copy, at_ms=run.began_ms or 0, host="srv", paths=["/srv/data"], files=run.files,
                 size=run.size)
        for run in runs
    ]  # fmt: skip
    return RepositoryReport(
        **{
            "plan": plan.pk, "at_ms": to_ms(at), "opened": True, "tool": "restic", "version": "0.14.0",
            "copies": copies, "copies_total": len(copies), "used": 60 * GIB, "free": 900 * GIB,
            "room": 1000 * GIB, "mount": "/dev/sdb1 ext4",
        } | more
    )  # fmt: skip


def drill_at(plan: BackupPlan, at: datetime, run: RunReport, **more: Any) -> ProofReport:
    ended_ms = to_ms(at)
    assert run.manifest is not None and run.canary is not None
    return ProofReport(
        **{
            "plan": plan.pk, "proof": new_id(), "work": "drill", "began_ms": ended_ms - 600_000,
            "ended_ms": ended_ms, "ok": True, "reason": "10000 of 10000 files are as at the source",
            "copy": run.copy, "copy_at_ms": run.began_ms, "tool": "restic", "version": "0.14.0",
            "machine": "srv", "manifest": run.manifest, "files_expected": 10_000, "files_equal": 10_000,
            "size": 50 * GIB, "canary_at_ms": run.canary.at_ms, "rpo_ms": 3_600_000, "rto_ms": 600_000,
        } | more
    )  # fmt: skip
