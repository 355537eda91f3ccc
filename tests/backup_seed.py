"""Backup plans with a history for the console's pages: reports as an agent makes them, judged as ever."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from estate_factories import EVERYTHING
from forestall.backups import queries
from forestall.backups.actions import add_plan, tools, want_work
from forestall.backups.models import BackupPlan, Proof
from forestall.backups.taking import take_reports
from forestall.backups.values import Place, PlanTerms
from forestall.estate.models import Asset
from forestall.intake.decoded import PlacedBackup
from forestall.judge.backups import Keep
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import JudgedAsset
from forestall.kernel.backups import (
    BackupReport,
    Canary,
    CheckSeen,
    CopySeen,
    Manifest,
    Mismatch,
    ProgressReport,
    ProofReport,
    RepositoryReport,
    RunReport,
    SourceSeen,
    UncoveredSeen,
    WorthReport,
)
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import new_id, to_number

GB = 10**9


def back_up(*, client: str, asset: str, collector: str, now: datetime, nights: int) -> dict[str, str]:
    """Identifiers of a plan and of its newest drill."""
    owner = Asset.objects.get(pk=asset)
    terms = PlanTerms(
        name="Files to the NAS", tool="restic", every_s=86_400, rto_s=14_400, repository="/mnt/nas/restic",
        sources=("/srv/files", "/etc"), settings={"password": "not shown"},
        keep=Keep(daily=7, weekly=4, monthly=12),
        copies=(Place("NAS in the office"), Place("cloud", offsite=True, unchangeable=True)),
    )  # fmt: skip
    begun = now - timedelta(days=nights)
    plan = add_plan(EVERYTHING, asset=owner, terms=terms, now=begun, collector=collector)
    small = replace(terms, name="Database, nightly", tool="restic", sources=("/var/backups/db",), rto_s=0)
    fresh = add_plan(EVERYTHING, asset=owner, terms=small, now=now, collector=collector)

    def take(*reports: BackupReport) -> None:
        placed = [PlacedBackup(client, asset, collector, 0, one) for one in reports]
        taken = take_reports(placed, now=now)
        assert not taken.refused, taken.why

    dice = random.Random(client)
    runs = [
        _run(plan, begun + timedelta(days=day, hours=2), day, dice, lost=day == nights - 1)
        for day in range(1, nights)
    ]
    take(*runs)
    copies = [
        CopySeen(key=one.copy, at_ms=one.began_ms or 0, host="srv", paths=list(plan.sources),
                 files=one.files, size=one.size)
        for one in runs[-16:]
    ]  # fmt: skip
    for day in range(min(40, nights), 0, -1):
        take(_look(plan, to_ms(now - timedelta(days=day)), (), free=(180 + 3 * day) * GB))
    take(_look(plan, to_ms(now), copies, free=176 * GB))
    drilled = runs[-4]
    take(
        _proof(plan, now - timedelta(days=9), drilled, work="drill"),
        _proof(plan, now - timedelta(days=2), drilled, work="drill"),
        _proof(
            plan, now - timedelta(hours=20), drilled, work="check", files_expected=None, files_equal=None,
            reason="the index and all 214 packs are there", checks=[], manifest=None, canary_at_ms=None,
        ),
        ProofReport(
            plan=plan.pk, proof=new_id(), work="read", began_ms=to_ms(now) - 9_000_000,
            ended_ms=to_ms(now) - 8_000_000, ok=False, slice_of=(7, 30), tool="restic", version="0.14.0",
            machine="srv", reason="1 of 214 packs is not what its name says: pack 1f3a77c2 is damaged",
            checks=[CheckSeen("packs", False, "pack 1f3a77c2: hash differs", 41_000)], mismatches_total=1,
            mismatches=[Mismatch("data/1f/1f3a77c2", "differs")],
        ),
    )  # fmt: skip
    wanted = want_work(EVERYTHING, plan, work="drill", now=now)
    take(
        ProgressReport(
            plan=plan.pk, proof=wanted, work="drill", at_ms=to_ms(now), doing="restoring 4f21aa90",
            done=21 * GB, total=50 * GB,
        ),
        WorthReport(
            at_ms=to_ms(now),
            things=[
                UncoveredSeen("volume", "/srv", 52 * GB), UncoveredSeen("volume", "/home", 8 * GB),
                UncoveredSeen("database", "postgresql/shop", 3 * GB),
            ],
        ),
    )  # fmt: skip
    judge_now(plan, now)
    judge_now(fresh, now)
    proof = Proof.objects.filter(plan=plan, work="drill").order_by("-ended_at")[0]
    return {"plan": plan.pk, "proof": proof.pk}


def _run(plan: BackupPlan, at: datetime, day: int, dice: random.Random, *, lost: bool) -> RunReport:
    """A night; the last one found /srv/files not mounted."""
    ended_ms, size = to_ms(at), int((48 + day * 0.04 + dice.random() * 0.2) * GB)
    sources = [
        SourceSeen("/srv/files", True, "overlay /", False, 0, 0)
        if lost
        else SourceSeen("/srv/files", True, "/dev/sdb1 ext4", True, 9_000, size),
        SourceSeen("/etc", True, "/dev/sda1 ext4", False, 900, 12_000_000),
    ]  # fmt: skip
    return RunReport(
        plan=plan.pk, run=new_id(), at_ms=ended_ms, by="job", said="warning" if day == 31 else "success",
        reason="2 files could not be read" if day == 31 else "snapshot saved",
        began_ms=ended_ms - dice.randrange(240_000, 420_000), ended_ms=ended_ms, tool="restic",
        version="0.14.0", exit_code=3 if day == 31 else 0, copy=f"{dice.getrandbits(256):064x}",
        files=900 if lost else 9_900 + day, size=12_000_000 if lost else size, files_new=0 if lost else 40,
        files_changed=0 if lost else 210, files_removed=9_000 if lost else 3,
        added=1_000_000 if lost else dice.randrange(2 * 10**8, 5 * 10**8), sources=sources,
        canary=Canary("cd" * 32, ended_ms - 300_000, "/srv/files/.forestall-canary/canary"),
        manifest=Manifest("ab" * 32, ended_ms - 290_000, 9_900 + day, size),
    )  # fmt: skip


def _look(plan: BackupPlan, at_ms: int, copies: object, *, free: int) -> RepositoryReport:
    seen = list(copies)  # type: ignore[call-overload]
    return RepositoryReport(
        plan=plan.pk, at_ms=at_ms, opened=True, tool="restic", version="0.14.0", copies=seen,
        copies_total=16, used=60 * GB, free=free, room=1000 * GB, mount="/dev/sdc1 ext4",
    )  # fmt: skip


def _proof(plan: BackupPlan, at: datetime, run: RunReport, **more: object) -> ProofReport:
    ended_ms = to_ms(at)
    said = ProofReport(
        plan=plan.pk, proof=new_id(), work="drill", began_ms=ended_ms - 1_140_000, ended_ms=ended_ms, ok=True,
        reason="9,955 of 9,955 files are as at the source, and the canary of that night came back",
        copy=run.copy, copy_at_ms=run.began_ms, tool="restic", version="0.14.0", machine="srv",
        manifest=run.manifest, files_expected=9_955, files_equal=9_955, size=50 * GB,
        canary_at_ms=run.canary.at_ms if run.canary else None, rpo_ms=39_600_000, rto_ms=1_140_000,
        checks=[
            CheckSeen("restore", True, "50.1 GB in 9,955 files, by identifier", 1_020_000),
            CheckSeen("compare", True, "SHA-256 of every file against the manifest of the source", 110_000),
            CheckSeen("canary", True, "the nonce of that night", 3),
        ],
    )  # fmt: skip
    return msgspec.structs.replace(said, **more)


def judge_now(plan: BackupPlan, now: datetime) -> None:
    """As the watch does: findings, and how the plan stands."""
    from forestall.findings.actions import apply
    from forestall.processes.judging_backups import PlansToJudge

    judge = Judge(load_packs(builtin_packs()))
    asset = plan.asset
    judge.set_estate(
        [JudgedAsset(id=asset.pk, number=to_number(asset.pk), client=asset.client_id, name=asset.name,
                     kind=asset.kind)],
        now_ms=to_ms(now),
    )  # fmt: skip
    plans = PlansToJudge(judge)
    plans.look(to_ms(now))
    apply(plans.judge_some(to_ms(now)), now=now)
    row = queries.find_plan(EVERYTHING, plan.pk)
    assert row is not None and row.standing.judged_at is not None and tools()
