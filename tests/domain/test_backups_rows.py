"""Reports of backups become rows once, of the right plan alone; proofs are sealed; what people decide stands
in the journal; collectors are told what to do, and nobody else is."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from domain.backup_rows import PASSWORD, drill_at, look_at, make_backups, make_collector, run_at, terms
from estate_factories import EVERYTHING, make_asset, make_client, scope_for
from forestall.backups import actions, queries
from forestall.backups.coverage import coverage
from forestall.backups.models import BackupPlan, BackupRun, DrillProgress, PlanStanding, Proof, RepositoryLook
from forestall.backups.retention import keep_backups
from forestall.backups.sealing import export_proof, list_unsealed
from forestall.estate.enrolment import work_of
from forestall.journal.models import Entry
from forestall.journal.verify import verify_document
from forestall.kernel.backups import BackupOrder, ProgressReport, UncoveredSeen, WorthReport
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)


def everything_stored() -> str:
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


def test_the_same_reports_twice_make_the_same_rows() -> None:
    site = make_backups()
    run = run_at(site.plan, NOW)
    drill = drill_at(site.plan, NOW, run)
    reports = [run, look_at(site.plan, NOW, run), drill]
    first = site.take(*reports, now=NOW)
    again = site.take(*reports, now=NOW + timedelta(minutes=1))
    assert first.plans == {site.plan.pk} and not again.plans and not again.refused
    assert [model.objects.count() for model in (BackupRun, RepositoryLook, Proof)] == [1, 1, 1]
    assert Entry.objects.filter(kind="backup.proof_sealed").count() == 1
    found = queries.find_proof(EVERYTHING, drill.proof)
    assert found and found[1] == drill and queries.newest_look(EVERYTHING, site.plan.pk) == reports[1]


def test_a_run_is_what_was_said_of_it_last() -> None:
    site = make_backups()
    ended = run_at(site.plan, NOW)
    began = msgspec.structs.replace(
        ended, at_ms=ended.began_ms, said="running", ended_ms=None, copy="", manifest=None
    )
    site.take(began, now=NOW)
    assert BackupRun.objects.get().said == "running"
    site.take(ended, began, now=NOW)
    row = BackupRun.objects.get()
    assert (row.said, row.size, row.copy) == ("success", ended.size, ended.copy)
    assert queries.find_run(EVERYTHING, str(row.pk)) is not None


def test_a_copy_and_the_job_that_made_it_are_one_run() -> None:
    site = make_backups()
    told = run_at(site.plan, NOW)
    found = run_at(site.plan, NOW, by="repository", copy=told.copy, run="copy-1")
    site.take(found, now=NOW)
    site.take(told, now=NOW)
    assert BackupRun.objects.get().by == "job"
    assert not site.take(msgspec.structs.replace(found, copy=told.copy[:8]), now=NOW).plans
    assert BackupRun.objects.get().by == "job"


def test_who_does_not_watch_a_plan_cannot_report_of_it() -> None:
    site, other = make_backups(), make_backups()
    second = make_collector(site.client, make_asset(site.client))
    run = run_at(site.plan, NOW)
    for collector, client in (
        (other.collector, other.client.pk),
        (other.collector, site.client.pk),
        (second, site.client.pk),
        ("nobody", site.client.pk),
    ):
        taken = site.take(run, collector=collector, client=client)
        assert taken.refused == 1 and site.plan.pk in taken.refusals[0][1] and not taken.plans
    assert not BackupRun.objects.exists()
    site.plan.elsewhere_id = second
    site.plan.save()
    assert site.take(run, collector=second).refused == 1
    assert site.take(drill_at(site.plan, NOW, run), collector=second).refused == 1
    assert site.take(drill_at(site.plan, NOW, run, work="elsewhere"), collector=second).plans
    actions.archive(EVERYTHING, site.plan, now=NOW)
    assert site.take(run).refused == 1


def test_a_machine_that_is_enrolled_again_goes_on_watching() -> None:
    site = make_backups()
    second = make_collector(site.client, site.asset)
    assert site.take(run_at(site.plan, NOW), collector=second).plans
    assert [one["id"] for one in work_of(second)["backups"]] == [site.plan.pk]


def test_the_order_has_the_secret_and_what_runs_told_and_the_database_has_no_secret() -> None:
    site = make_backups()
    run = run_at(site.plan, NOW)
    site.take(run, now=NOW)
    (raw,) = work_of(site.collector)["backups"]
    order = msgspec.convert(raw, BackupOrder)
    assert order.secrets == {"password": PASSWORD} and PASSWORD not in repr(order)
    assert order.bound[0].manifest == run.manifest and order.bound[0].copy == run.copy
    assert {one.work for one in order.works} == {"look", "check", "read", "drill"}
    assert PASSWORD not in everything_stored()
    beside = make_collector(site.client, make_asset(site.client))
    assert work_of(beside)["backups"] == []
    assert "password" not in actions.terms_of(site.plan).settings
    kept = actions.amend(EVERYTHING, site.plan, terms=actions.terms_of(site.plan), now=NOW)
    assert kept.settings == site.plan.settings
    moved = actions.amend(EVERYTHING, kept, terms=terms(), now=NOW, collector=beside)
    assert work_of(beside)["backups"][0]["secrets"] == {"password": PASSWORD}
    (here,) = work_of(site.collector)["backups"]
    assert moved.pk == here["id"] and not here["secrets"] and not here["works"]  # its job runs here


def test_a_wanted_drill_is_fetched_told_of_and_done() -> None:
    site = make_backups()
    proof = actions.want_work(EVERYTHING, site.plan, work="drill", now=timezone.now())
    assert actions.want_work(EVERYTHING, site.plan, work="drill", now=timezone.now()) == proof
    assert work_of(site.collector)["backups"][0]["wanted"][0]["proof"] == proof
    going = ProgressReport(plan=site.plan.pk, proof=proof, work="drill", at_ms=to_ms(NOW), doing="restoring",
                           done=5, total=10)  # fmt: skip
    site.take(going, msgspec.structs.replace(going, at_ms=going.at_ms + 5, done=7), going)
    (row,) = queries.progress_of(EVERYTHING, site.plan.pk)
    assert (row.done, row.total) == (7, 10)
    run = run_at(site.plan, NOW)
    site.take(run, drill_at(site.plan, NOW, run, proof=proof), going)
    assert work_of(site.collector)["backups"][0]["wanted"] == []
    assert not DrillProgress.objects.exists()
    look = actions.want_work(EVERYTHING, site.plan, work="look", now=NOW - timedelta(days=8))
    assert work_of(site.collector)["backups"][0]["wanted"] == []  # nobody did it for a week
    assert actions.want_work(EVERYTHING, site.plan, work="look", now=timezone.now()) != look
    site.take(look_at(site.plan, timezone.now() + timedelta(seconds=1), run))
    assert BackupPlan.objects.get().wanted == []
    with pytest.raises(Trouble, match="no work"):
        actions.want_work(EVERYTHING, site.plan, work="service", now=NOW)


def test_a_proof_is_verified_without_us_and_one_changed_byte_is_found(tmp_path: Path) -> None:
    site = make_backups()
    run = run_at(site.plan, NOW)
    site.take(run, drill_at(site.plan, NOW, run), now=NOW)
    row = Proof.objects.get()
    data = export_proof(scope_for(site.client), row.pk, now=NOW)
    verdict = verify_document(data)
    assert verdict.ok, verdict.says
    assert "proof of the backup plan files" in json.loads(data)["about"]
    assert run.manifest and run.manifest.root.encode() in data and PASSWORD.encode() not in data
    assert not verify_document(data.replace(b"10000 of 10000", b"10000 of 10001", 1)).ok
    with pytest.raises(Proof.DoesNotExist):
        export_proof(scope_for(make_client()), row.pk, now=NOW)


def test_what_a_full_disk_kept_from_being_sealed_is_sealed_later() -> None:
    site = make_backups()
    run = run_at(site.plan, NOW)
    home = Path(settings.DATA.evidence)
    aside = home.with_name("evidence-aside")
    if home.exists():
        home.rename(aside)
    home.write_text("no directory")
    try:
        assert site.take(run, drill_at(site.plan, NOW, run), now=NOW).plans
    finally:
        home.unlink()
        if aside.exists():
            aside.rename(home)
    (row,) = list_unsealed()
    assert row.seq is None
    site.take(drill_at(site.plan, NOW, run, work="check"), now=NOW)  # a check that went well needs no seal
    assert len(list_unsealed()) == 1


def test_skipped_attempts_do_not_pile_up() -> None:
    site = make_backups()
    run = run_at(site.plan, NOW)
    for hour in range(60):
        at = NOW + timedelta(hours=hour)
        site.take(drill_at(site.plan, at, run, ok=False, skipped=True, reason="away"), now=at)
    kept = Proof.objects.order_by("ended_at")
    assert kept.count() <= 21 and kept[0].ended_at == NOW and not Entry.objects.filter(
        kind="backup.proof_sealed"
    )  # fmt: skip


def test_every_decision_stands_in_the_journal_and_wrong_ones_say_what_to_do() -> None:
    site = make_backups()
    actions.pause(EVERYTHING, site.plan, because="the disk is being replaced", now=NOW)
    assert work_of(site.collector)["backups"][0]["works"] == []
    actions.resume(EVERYTHING, site.plan, now=NOW)
    actions.accept(EVERYTHING, site.plan, because="the archive was cleaned up", now=NOW)
    actions.archive(EVERYTHING, site.plan, now=NOW)
    kinds = list(Entry.objects.filter(subject=site.plan.pk).order_by("seq").values_list("kind", flat=True))
    assert kinds == [f"backup.plan_{what}" for what in ("added", "paused", "resumed", "accepted", "archived")]
    for wrong in (
        terms(name=" "), terms(tool="magic"), terms(every_s=1), terms(sources=("-rf",)),
        terms(settings={"password": "x", "unheard": "of"}), terms(cadences={"look": 1}), terms(slices=0),
    ):  # fmt: skip
        with pytest.raises(Trouble) as raised:
            actions.add_plan(EVERYTHING, asset=site.asset, terms=wrong, now=NOW)
        assert raised.value.remedy and PASSWORD not in str(raised.value)
    actions.add_plan(EVERYTHING, asset=site.asset, terms=terms("again"), now=NOW)
    with pytest.raises(Trouble, match="already"):
        actions.add_plan(EVERYTHING, asset=site.asset, terms=terms("again"), now=NOW)
    with pytest.raises(Trouble, match="no such backup plan"):
        actions.archive(scope_for(make_client()), site.plan, now=NOW)


def test_no_client_sees_the_backups_of_another() -> None:
    site, other = make_backups(), make_backups()
    run = run_at(other.plan, NOW)
    drill = drill_at(other.plan, NOW, run)
    other.take(run, drill, look_at(other.plan, NOW, run), now=NOW)
    mine = scope_for(site.client)
    assert [row.plan_id for row in queries.board(mine)] == [site.plan.pk]
    assert queries.count_board(mine).total == 1
    assert [row.pk for row in queries.list_plans(mine)] == [site.plan.pk]
    assert queries.find_plan(mine, other.plan.pk) is None and not queries.find_plan_by_word(
        mine, other.plan.pk
    )
    assert not queries.list_runs(mine, plan=other.plan.pk) and not queries.list_proofs(mine)
    assert queries.find_proof(mine, drill.proof) is None
    assert queries.find_run(mine, str(BackupRun.objects.get().pk)) is None
    assert queries.newest_look(mine, other.plan.pk) is None
    assert {one.asset.client_id for one in coverage(mine)} <= {site.client.pk}


def test_what_is_in_no_plan() -> None:
    site = make_backups(name="shop", tool="restic", sources=("/srv/data",))
    bare = make_asset(site.client, name="bare")
    things = [
        UncoveredSeen("volume", "/", 9 << 30, "ext4"), UncoveredSeen("volume", "/srv", 9 << 30, "xfs"),
        UncoveredSeen("volume", "/mail", 9 << 30, "xfs"), UncoveredSeen("database", "postgresql/shop"),
    ]  # fmt: skip
    taken = site.take(WorthReport(at_ms=to_ms(NOW), things=things), now=NOW)
    assert taken.machines == {site.asset.pk}
    found = {(one.asset.name, one.what, one.name): one.uncovered for one in coverage(EVERYTHING)}
    assert found[(bare.name, "machine", "")]
    mine = {(what, name): bad for (asset, what, name), bad in found.items() if asset == site.asset.name}
    assert mine == {
        ("volume", "/"): True, ("volume", "/srv"): False, ("volume", "/mail"): True,
        ("database", "postgresql/shop"): True,
    }  # fmt: skip
    actions.leave_out(
        EVERYTHING, site.asset, what="volume", name="/", because="it is installed anew", now=NOW
    )
    left = [one.name for one in coverage(EVERYTHING, asset=site.asset.pk) if one.uncovered]
    assert left == ["postgresql/shop", "/mail"]


def test_old_runs_keep_their_columns_and_very_old_ones_go() -> None:
    site = make_backups()
    days = [*range(40), 500, 1_200]
    site.take(*(run_at(site.plan, NOW - timedelta(days=day)) for day in days), now=NOW)
    site.take(*(look_at(site.plan, NOW - timedelta(hours=hour)) for hour in range(5)), now=NOW)
    held = keep_backups(now=NOW, held=[site.client.pk])
    assert not any(held.values())
    gone = keep_backups(now=NOW)
    assert gone["runs"] == 1 and gone["words"] == 3
    assert BackupRun.objects.count() == len(days) - 1
    assert PlanStanding.objects.get().first_settings is not None and BackupPlan.objects.count() == 1
