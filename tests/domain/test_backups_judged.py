"""From an agent's batch to findings, how a plan stands, and back: through the decoder and the judge's side,
twice over as after a crash."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest
import zstandard

from billing_seed import agree, contact, signed_rates
from domain.backup_rows import Site, drill_at, look_at, make_backups, run_at, terms
from estate_factories import EVERYTHING, START, make_asset, scope_for
from forestall.agreements.credits import give_credit
from forestall.alerts.models import Alert, Evidence
from forestall.backups import actions, queries
from forestall.backups.models import BackupPlan, BackupRun, PlanStanding
from forestall.estate.models import Asset
from forestall.findings.models import Finding
from forestall.intake.decode import Decoded, DecodeState, PlacedOutcome, decode
from forestall.intake.envelope import Envelope, encode_envelope
from forestall.intake.queries import load_directory
from forestall.intake.segments import Position
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.kernel.backups import BackupReport, RunReport, SourceSeen, UncoveredSeen, WorthReport
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import to_number
from forestall.kernel.observations import Batch, Observations, Outcome, encode_batch
from forestall.processes.judging import Judging
from forestall.processes.judging_backups import PlansToJudge
from forestall.processes.road import Road
from forestall.web.console.billing_credits import proposals
from road_factories import Sources

pytestmark = pytest.mark.django_db
NIGHT = START.replace(hour=2)


class World:
    """The judge's side on a clock of its own, fed as by an agent."""

    def __init__(self, site: Site) -> None:
        self.site, self.at = site, START
        self.state, self.number = DecodeState(), 0
        self.judging = self._judging()

    def _judging(self) -> Judging:
        return Judging(Judge(load_packs(builtin_packs())), Road(Sources()), self)

    def now(self) -> datetime:
        return self.at

    def send(self, *reports: BackupReport, at: datetime | None = None) -> Decoded:
        """A batch of the agent, twice to the judge's side, and time passes."""
        self.at = at or self.at
        self.number += 1
        batch = Batch(
            number=self.number, sent_at_ms=to_ms(self.at),
            observations=[Observations(asset=self.site.asset.pk, backups=list(reports))],
        )  # fmt: skip
        frame = encode_envelope(
            Envelope(
                kind="observations", received_at_ms=to_ms(self.at), client=self.site.client.pk,
                collector=self.site.collector, peer="10.0.0.9",
                body=zstandard.compress(encode_batch(batch)),
            )
        )  # fmt: skip
        decoded = decode([(Position(1, self.number), frame)], load_directory(EVERYTHING, self), self.state)
        self.state = decoded.state
        assert not decoded.rejected
        self.judging.step(decoded)
        self.judging.step(decoded)
        self.turn()
        return decoded

    def turn(self, *, later: timedelta = timedelta(seconds=6)) -> None:
        self.at += later
        self.judging.tick(to_ms(self.at))

    def restart(self) -> None:
        """Go on from what was saved."""
        state = self.judging.save()
        self.judging = self._judging()
        self.judging.restore(state)
        self.turn()

    def nights(self, count: int, *, until: datetime = NIGHT) -> list[RunReport]:
        """Runs that went well, the last one at `until`."""
        runs = [
            run_at(self.site.plan, until - timedelta(days=back), files=10_000 + 3 * back)
            for back in reversed(range(count))
        ]
        self.send(*runs, look_at(self.site.plan, until + timedelta(hours=1), *runs), at=START)
        return runs

    def standing(self) -> PlanStanding:
        return PlanStanding.objects.get(plan=self.site.plan)


def world(**more: object) -> World:
    return World(make_backups(now=START - timedelta(days=5), **more))


def backup_findings(rules: Sequence[str] = ()) -> list[tuple[str, bool]]:
    found = Finding.objects.filter(rule__startswith="backup-").order_by("opened_at", "pk")
    return [(one.rule, one.ended_at is None) for one in found if not rules or one.rule in rules]


def test_good_nights_are_no_finding_and_a_drill_proves_level_4() -> None:
    here = world(cadences={"look": 21_600, "drill": 7 * 86_400})
    runs = here.nights(20)
    here.send(drill_at(here.site.plan, here.at, runs[-1]))
    standing = here.standing()
    assert backup_findings() == []
    assert (standing.level, standing.concern, standing.last_said) == (4, 0, "success")
    assert standing.proved_at and "level 4" in standing.said
    assert [one["level"] for one in standing.rungs] == list(range(7))
    assert standing.last_run_at == NIGHT and standing.next_due_at and standing.next_due


def test_a_source_that_is_gone_is_one_finding_with_evidence_through_restarts_and_ends() -> None:
    here = world(cadences={"look": 21_600, "drill": 7 * 86_400})
    runs = here.nights(20)
    gone = run_at(
        here.site.plan, NIGHT + timedelta(days=1), files=0, size=0, files_new=0, files_changed=0,
        files_removed=10_000, sources=[SourceSeen("/srv/data", there=False, problem="No such file")],
    )  # fmt: skip
    here.send(gone, look_at(here.site.plan, NIGHT + timedelta(days=1, hours=1), *runs, gone),
              at=START + timedelta(days=1))  # fmt: skip
    assert ("backup-source-missing", True) in backup_findings()
    opened = backup_findings()
    assert Evidence.objects.filter(finding__rule="backup-source-missing").exists()
    standing = here.standing()
    assert standing.concern > 0 and standing.rule.startswith("backup-") and "/srv/data" in standing.reason
    assert queries.findings_of(EVERYTHING, here.site.plan)
    here.restart()
    here.send(gone)
    assert backup_findings() == opened and BackupRun.objects.count() == 21
    back = run_at(here.site.plan, NIGHT + timedelta(days=2))
    here.send(back, look_at(here.site.plan, NIGHT + timedelta(days=2, hours=1), *runs, gone, back),
              at=START + timedelta(days=2))  # fmt: skip
    assert ("backup-source-missing", False) in backup_findings()
    assert not [one for one in backup_findings() if one[1]], backup_findings()
    assert here.standing().concern == 0
    assert Alert.objects.filter(client=here.site.client).count() == 1


def test_a_job_that_never_comes_is_silent_and_a_pause_ends_that() -> None:
    here = world(cadences={})
    here.nights(10)
    here.at = START + timedelta(days=2)
    here.turn()
    assert ("backup-overdue", True) in backup_findings()
    actions.pause(EVERYTHING, here.site.plan, because="the shop is closed", now=here.at,
                  until=here.at + timedelta(days=3))  # fmt: skip
    here.turn()
    assert ("backup-overdue", False) in backup_findings()
    assert here.standing().concern == 0
    here.at += timedelta(days=3)
    here.turn()
    assert BackupPlan.objects.get().paused_at is None
    assert len(backup_findings(["backup-overdue"])) == 1  # its time counts from the end of the pause
    here.at += timedelta(days=2)
    here.turn()
    assert backup_findings(["backup-overdue"])[-1][1]


def test_what_is_in_no_plan_is_found_and_ends_when_it_is_covered_or_gone() -> None:
    here = world(cadences={})
    things = [UncoveredSeen("volume", "/srv", 9 << 30), UncoveredSeen("volume", "/mail", 9 << 30)]
    here.send(WorthReport(at_ms=to_ms(here.at), things=things))
    (found,) = Finding.objects.filter(rule="backup-uncovered", ended_at=None)
    assert found.item == "volume /mail" and "in no backup plan" in found.reason
    bare = make_asset(here.site.client, name="bare")
    here.turn()
    assert Finding.objects.filter(rule="backup-uncovered", asset=bare, ended_at=None).exists()
    here.restart()
    actions.add_plan(EVERYTHING, asset=bare, terms=terms("all"), now=here.at)
    here.send(WorthReport(at_ms=to_ms(here.at), things=things[:1]), at=here.at + timedelta(hours=1))
    here.turn()
    left = Finding.objects.filter(rule="backup-uncovered", ended_at=None)
    assert not [(one.asset.name, one.item) for one in left]


def test_an_agent_that_is_disabled_is_silent_at_once_and_its_plan_is_not_forgotten() -> None:
    """Fault 16: nobody runs the job, nobody looks, nobody says anything."""
    here = world(cadences={"look": 21_600})
    Asset.objects.update(created_at=START - timedelta(days=30))
    here.nights(10)
    assert not Finding.objects.filter(ended_at=None, tells=True)
    for _ in range(40):
        here.turn(later=timedelta(seconds=20))
    (silent,) = Finding.objects.filter(rule="asset-silent", ended_at=None)
    assert silent.tells and silent.asset == here.site.asset and silent.began_at < here.at
    here.restart()
    here.turn(later=timedelta(hours=28))  # its next run is overdue, and who would have seen it is silent
    (overdue,) = Finding.objects.filter(rule="backup-overdue", ended_at=None)
    assert overdue.item == "files" and "silent since" in overdue.reason and not overdue.tells
    (due,) = queries.expected_next(EVERYTHING)
    assert due.plan == here.site.plan and due.next_due_at is not None and due.next_due_at < here.at
    here.turn(later=timedelta(days=2))
    overdue.refresh_from_db()
    assert overdue.ended_at is None and overdue.tells, overdue.reason


def test_a_proof_that_is_late_is_told_with_what_is_to_be_credited_for_it() -> None:
    here = world(cadences={"look": 21_600, "drill": 7 * 86_400}, credit_after_days=3, credit_minor=5_000)
    runs = here.nights(10)
    here.send(drill_at(here.site.plan, here.at, runs[-1]))
    proved = here.at
    assert queries.overdue_proofs(EVERYTHING, now=proved + timedelta(days=6)) == []
    (found,) = queries.overdue_proofs(EVERYTHING, now=proved + timedelta(days=8))
    assert (found.plan, found.level, found.credit_minor) == (here.site.plan, 4, 0)
    assert timedelta(hours=23) < found.late < timedelta(hours=25) and found.proved_at is not None
    assert found.due_at - found.proved_at == timedelta(days=7)
    (found,) = queries.overdue_proofs(EVERYTHING, now=proved + timedelta(days=11))
    assert found.credit_minor == 5_000
    other = make_backups()
    assert queries.overdue_proofs(EVERYTHING, now=proved + timedelta(days=11), client=other.client.pk) == []
    assert not queries.overdue_proofs(scope_for(other.client), now=proved + timedelta(days=11))
    assert [one.plan for one in queries.creditable_proofs(EVERYTHING, now=proved + timedelta(days=11))] == [
        here.site.plan
    ]
    assert queries.creditable_proofs(EVERYTHING, now=proved + timedelta(days=8)) == []
    assert proposals(EVERYTHING, now=proved + timedelta(days=11))[0].agreement is None
    signed_rates()
    contact(here.site.client, "Ana B.", date(2026, 1, 2))
    row = agree(here.site.client, starts_on=date(2020, 1, 1))
    (one,) = proposals(EVERYTHING, now=proved + timedelta(days=11))
    assert (one.plan, one.agreement, one.amount_minor, one.currency) == (here.site.plan, row, 5_000, "EUR")
    assert f"by {found.due_at:%Y-%m-%d}" in one.note and "the last one was proved on" in one.note
    give_credit(
        EVERYTHING,
        row,
        name=one.name,
        note=one.note,
        amount_minor=one.amount_minor,
        about=one.about,
        now=here.at,
    )
    assert proposals(EVERYTHING, now=proved + timedelta(days=12)) == []
    BackupPlan.objects.update(credit_after_days=None)
    assert queries.overdue_proofs(EVERYTHING, now=proved + timedelta(days=99))[0].credit_minor == 0


def test_a_plan_of_another_name_takes_its_findings_along() -> None:
    here = world(cadences={})
    here.nights(3)
    here.at = START + timedelta(days=3)
    here.turn()
    assert Finding.objects.filter(rule="backup-overdue", item="files", ended_at=None).exists()
    actions.amend(EVERYTHING, here.site.plan, terms=terms("documents", cadences={}), now=here.at)
    here.turn()
    open_items = {one.item for one in Finding.objects.filter(rule="backup-overdue", ended_at=None)}
    assert open_items == {"documents"}
    actions.archive(EVERYTHING, here.site.plan, now=here.at)
    here.turn()
    assert not Finding.objects.filter(rule__startswith="backup-", ended_at=None).exclude(
        rule="backup-uncovered"
    )


def test_a_ping_of_its_heartbeat_is_a_run_of_a_plan() -> None:
    here = world(cadences={})
    BackupPlan.objects.filter(pk=here.site.plan.pk).update(tool="heartbeat", repository="nas")
    plans = PlansToJudge(Judge(load_packs(builtin_packs())))

    def ping(minute: int, *, ok: bool, name: str = "nas", took_ms: float = float("nan")) -> PlacedOutcome:
        at_ms = to_ms(START) + minute * 60_000
        asset = here.site.asset.pk
        outcome = Outcome(at_ms, "heartbeat", "heartbeat", name, ok, "exit status 1: disk full", took_ms)
        return PlacedOutcome(here.site.client.pk, asset, to_number(asset), "", at_ms, outcome)

    pings = [ping(1, ok=True, took_ms=30_000.0), ping(2, ok=False), ping(3, ok=True, name="another job")]
    for _ in range(2):
        plans.take([], pings, START + timedelta(minutes=5))
    found = BackupRun.objects.order_by("at").values_list("said", "by", "began_at", "ended_at")
    ended = [START + timedelta(minutes=minute) for minute in (1, 2)]
    assert list(found) == [
        ("success", "heartbeat", ended[0] - timedelta(seconds=30), ended[0]),
        ("failed", "heartbeat", None, ended[1]),
    ]


def test_a_report_of_another_clients_plan_is_kept_for_inspection() -> None:
    here, other = world(), world()
    decoded = here.send(run_at(other.site.plan, START))
    (rejected,) = decoded.rejected
    assert other.site.plan.pk in rejected.reason and rejected.client == here.site.client.pk
    assert b"restic" in rejected.raw and not BackupRun.objects.exists()
