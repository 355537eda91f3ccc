"""Backup plans that live: nightly runs with natural variation, looks, proofs, pruning; and faults put into
them.

One world is one plan. `night()` lets a night pass; what it is given replaces what the run would have said.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from judge_world import BOOK

from forestall.judge.backups import Cadence, JudgedPlan, Keep, PlanHistory, PlanVerdict, judge_plan
from forestall.judge.backups.retention import kept
from forestall.judge.rules import Look, Rule
from forestall.kernel.backups import (
    Canary,
    CheckSeen,
    CopySeen,
    Manifest,
    ProofReport,
    RepositoryReport,
    RunReport,
    SourceSeen,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
RULES: list[Rule] = [one for one in BOOK.rules_for("server").values() if one.look is Look.BACKUP]
WORKS = {2: "check", 3: "read", 4: "drill", 5: "service", 6: "elsewhere"}
KEEP = Keep(daily=14, weekly=8, monthly=12)
BEGIN = datetime(2026, 1, 5, 22, 0, tzinfo=ZoneInfo("Europe/Berlin"))


@dataclass
class World:
    """A plan with its machine, its repository and its past."""

    seed: int = 1
    tool: str = "restic"
    files: int = 12_000
    size: float = 40e9
    keep: Keep | None = KEEP
    natural: bool = True
    drills: bool = True
    start: datetime = BEGIN
    every_days: int = 1
    every_hours: int = 0  # more often than every day; looks come half an hour after
    runs: list[RunReport] = field(default_factory=list)
    looks: list[RepositoryReport] = field(default_factory=list)
    proofs: list[ProofReport] = field(default_factory=list)
    copies: list[CopySeen] = field(default_factory=list)
    look_more: dict[str, Any] = field(default_factory=dict)
    prunes: bool = True

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.at = self.start
        self.now_ms = ms(self.start)
        self.used = self.size * 0.7
        self.room = self.size * 20
        self.usual_ms = self.random.uniform(8, 20 if self.every_hours else 150) * MINUTE
        self.holiday = self.random.randint(30, 170)
        self.count = 0
        cadences = ((2, 1), (3, 30), (4, 7), (6, 91)) if self.drills else ()
        self.plan = JudgedPlan(
            id="0plan00000001",
            asset=5,
            name="nightly",
            tool=self.tool,
            rpo_ms=self.every_hours * HOUR or self.every_days * DAY,
            started_ms=self.now_ms,
            grace_ms=HOUR if self.every_hours else 4 * HOUR,
            collector="srv1",
            sources=("/srv/data", "/srv/mail"),
            keep=self.keep,
            zone="Europe/Berlin",
            rto_ms=8 * HOUR,
            slices=10,
            cadences=tuple(
                Cadence(level=level, every_ms=days * self.every_days * DAY) for level, days in cadences
            ),
        )

    # nights

    def nights(self, count: int, **given: Any) -> "World":
        """So many nights, each with a run, a look in the morning, and the proofs that are due."""
        for _ in range(count):
            self.night(**given)
        return self

    def night(self, *, look: bool = True, **given: Any) -> RunReport | None:
        """One night. `skip=True`: nothing runs; what else is given replaces fields of the report."""
        self.at += timedelta(hours=self.every_hours) if self.every_hours else timedelta(days=self.every_days)
        self.count += 1
        run = None if given.pop("skip", False) else self._run(given)
        self.now_ms = max(self.now_ms, ms(self.at) + (HOUR // 2 if self.every_hours else 8 * HOUR))
        if look:
            self.look()
        if self.drills and not (self.every_hours and self.count % (24 // self.every_hours)):
            self._prove()
        return run

    def _run(self, given: dict[str, Any]) -> RunReport:
        rng, natural = self.random, self.natural
        began = ms(self.at) + (int(rng.uniform(0, 25) * MINUTE) if natural else 0)
        change = self._change()
        lasted = self.usual_ms * (rng.lognormvariate(0, 0.25) if natural else 1.0)
        if natural and rng.random() < 0.03:
            lasted *= rng.uniform(1.2, 1.9)
        ended = began + int(min(lasted, 7 * HOUR))
        key = f"{rng.getrandbits(256):064x}"
        report = RunReport(
            plan=self.plan.id,
            run=f"run-{self.count}",
            at_ms=ended + 2000,
            by="job",
            said="success",
            began_ms=began,
            ended_ms=ended,
            reason="it is done",
            tool=self.tool,
            version="0.14.0",
            exit_code=0,
            copy=key[:8] if self.tool == "restic" else f"nightly-{self.at:%Y-%m-%d}",
            files=self.files,
            size=int(self.size),
            sources=self.sources(),
            excludes=["*.tmp", "/srv/data/cache"],
            canary=Canary(f"{self.count:064x}", began - 1000, "/srv/data/.forestall-canary/c"),
            manifest=Manifest(
                f"{self.count:064x}",
                began - 500,
                self.files,
                int(self.size),
                2 if natural else 0,
                ["/srv/data/app.log", "/srv/mail/tmp/x.tmp"] if natural else [],
            ),
            **change,
        )
        no_copy = given.pop("no_copy", False)
        copy_given = given.pop("copy_given", {})
        report = msgspec.structs.replace(report, **given)
        self.runs.append(report)
        self.now_ms = ended
        if not no_copy and report.said not in ("failed", "running"):
            full = key if self.tool == "restic" else report.copy
            copy = CopySeen(
                key=full,
                at_ms=began,
                host="srv1",
                paths=["/srv/data", "/srv/mail"],
                files=report.files,
                size=report.size,
                added=report.added,
            )
            self.copies.append(msgspec.structs.replace(copy, **copy_given))
            self.used += report.added or 0
            self.prune()
        return report

    def sources(self) -> list[SourceSeen]:
        """What is at the source now."""
        mail = self.files // 5
        return [
            SourceSeen("/srv/data", True, "ext4 /dev/sdb1", True, self.files - mail, int(self.size * 0.8)),
            SourceSeen("/srv/mail", True, "ext4 /dev/sdc1", True, mail, int(self.size * 0.2)),
        ]

    def _change(self) -> dict[str, Any]:
        """What a day did to the source."""
        rng = self.random
        if not self.natural:
            new, changed, removed, entropy, renamed, added = 10, 60, 5, 5.0, 0, self.size * 0.004
            self.files += new - removed
        else:
            quiet = (
                self.at.weekday() >= 5
                or (self.every_hours and not 7 <= self.at.hour < 19)
                or self.holiday <= self.count < self.holiday + 12
            )
            pace = (self.every_hours or 24) / 24 * (0.02 if quiet else 1.0) * rng.lognormvariate(0, 0.5)
            new, changed = int(self.files * 0.004 * pace), int(self.files * 0.01 * pace)
            removed = int(self.files * 0.003 * pace)
            entropy, renamed = rng.uniform(4.2, 6.9), 0
            added = self.size * 0.008 * pace
            what = rng.random() * (24 / (self.every_hours or 24))
            if what < 0.02:  # a big upload: photos, which look like noise
                more = rng.uniform(0.1, 0.9)
                new, added = new + int(self.files * more * 0.5), added + self.size * more
                entropy = rng.uniform(7.5, 7.99)
                self.size += self.size * more
            elif what < 0.04:  # a clean-up of old files
                less = rng.uniform(0.1, 0.35)
                removed += int(self.files * less)
                self.size *= 1 - less
            elif what < 0.06:  # a folder is renamed: new names, no new content
                moved = int(self.files * rng.uniform(0.05, 0.4))
                new, removed, renamed = new + moved, removed + moved, moved
            self.files += new - removed
            self.size *= 1 + 0.0005 * pace
            self.room = max(self.room, 6 * self.used)
        return {
            "files_new": new,
            "files_changed": changed,
            "files_removed": removed,
            "renamed": renamed,
            "added": int(added),
            "entropy": round(entropy, 2) if changed else None,
        }

    def prune(self) -> None:
        """The job's own pruning, after each run."""
        if self.keep is not None and self.prunes:
            times = [one.at_ms for one in self.copies]
            stays = kept(self.keep, times, tool=self.tool, zone="Europe/Berlin", now_ms=self.now_ms)
            gone = [one for one, stay in zip(self.copies, stays, strict=True) if not stay]
            self.used = max(self.used - sum((one.added or 0) * 0.9 for one in gone), self.size * 0.5)
            self.copies = [one for one, stay in zip(self.copies, stays, strict=True) if stay]

    def look(self, **given: Any) -> RepositoryReport:
        """A look into the repository now."""
        room = int(self.room)
        report = RepositoryReport(
            plan=self.plan.id,
            at_ms=self.now_ms,
            opened=True,
            tool=self.tool,
            version="0.14.0",
            copies=sorted(self.copies, key=lambda one: -one.at_ms),
            copies_total=len(self.copies),
            used=int(self.used),
            free=max(0, room - int(self.used)),
            room=room,
            mount="ext4 /dev/sdd1",
            settings={"id": "aa" * 32, "append_only": "1"},
        )
        report = msgspec.structs.replace(report, **{**self.look_more, **given})
        if self.looks:  # of older looks the server keeps the figures only
            self.looks[-1] = msgspec.structs.replace(self.looks[-1], copies=[], locks=[])
        self.looks.append(report)
        return report

    def _prove(self) -> None:
        day = self.count // (24 // self.every_hours) if self.every_hours else self.count
        for cadence in self.plan.cadences:
            every = cadence.every_ms // DAY // self.every_days
            if cadence.level == 3:
                if day % (every // self.plan.slices) == 0:
                    part = (day // (every // self.plan.slices)) % self.plan.slices + 1
                    self.prove(3, slice_of=(part, self.plan.slices))
            elif day % every == 0:
                self.prove(cadence.level)

    def prove(self, level: int, **given: Any) -> ProofReport:
        """A proof of this level, good unless something else is given."""
        copy = self.copies[-1] if self.copies else CopySeen(key="none", at_ms=self.now_ms)
        began = self.now_ms
        report = ProofReport(
            plan=self.plan.id,
            proof=f"proof-{level}-{self.now_ms}",
            work=WORKS[level],  # type: ignore[arg-type]
            began_ms=began,
            ended_ms=began + (MINUTE if self.every_hours else 20 * MINUTE),
            ok=True,
            reason="as it should be",
            checks=[CheckSeen("structure", True, "no error was found", 1000)],
        )
        if level >= 4:
            report = msgspec.structs.replace(
                report,
                copy=copy.key,
                copy_at_ms=copy.at_ms,
                files_expected=self.files,
                files_equal=self.files,
                size=int(self.size),
                rto_ms=HOUR,
                rpo_ms=max(0, began - copy.at_ms),
                canary_at_ms=copy.at_ms,
            )
        report = msgspec.structs.replace(report, **given)
        self.proofs.append(report)
        self.now_ms += MINUTE if self.every_hours else 25 * MINUTE
        return report

    # judging

    def history(self) -> PlanHistory:
        """As the server loads it."""
        proofs = sorted(self.proofs, key=lambda one: one.ended_ms)[-200:]
        return PlanHistory(runs=self.runs[-400:], looks=self.looks[-400:], proofs=proofs)

    def judge(self, *, after_ms: int = 0, rules: Sequence[Rule] = RULES, **plan: Any) -> PlanVerdict:
        """What the judge says so long after the last thing that was seen."""
        judged = replace(self.plan, **plan) if plan else self.plan
        return judge_plan(judged, self.history(), rules=rules, now_ms=self.now_ms + after_ms)


def ms(at: datetime) -> int:
    """An instant in ms."""
    return int(at.timestamp() * 1000)


def found(verdict: PlanVerdict) -> dict[str, str]:
    """Rule → reason."""
    return {one.rule: one.reason for one in verdict.disagreements}


def one_finding(world: World, rule: str, *says: str, **judging: Any) -> str:
    """Exactly this rule disagrees, and its reason says all of these; the reason."""
    told = found(world.judge(**judging))
    assert list(told) == [rule], told
    for words in says:
        assert words in told[rule], told[rule]
    return told[rule]
