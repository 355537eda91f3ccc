"""Level 6 from the order to the ladder: a copy comes back on another machine, with the key that the server
keeps and nothing of the machine that made it."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone

from contract.backup_site import PASSWORD, Site
from domain.backup_rows import make_backups, make_collector, terms
from estate_factories import EVERYTHING, make_asset
from forestall.backups import actions, queries
from forestall.backups.models import PlanStanding, Proof
from forestall.collect.jobs import restic
from forestall.estate.enrolment import work_of
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.kernel.backups import BackupOrder, ProofReport, RepositoryReport
from forestall.kernel.clock import to_ms
from forestall.processes.judging import Judging
from forestall.processes.road import Road
from road_factories import Sources

pytestmark = pytest.mark.django_db


class WallClock:
    """The time that it is."""

    now = staticmethod(timezone.now)


def orders(collector: str) -> list[BackupOrder]:
    found = msgspec.convert(work_of(collector)["backups"], list[BackupOrder])
    return msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[BackupOrder])


def test_a_copy_comes_back_on_another_machine(tmp_path: Path) -> None:
    site = Site(tmp_path, restic)
    here = make_backups()
    vault = make_collector(here.client, make_asset(here.client, name="vault"))
    cadences = {"look": 3_600, "elsewhere": 91 * 86_400}
    wanted = terms(
        repository=str(site.repository), sources=(str(site.source),), settings={"password": PASSWORD},
        cadences=cadences,
    )  # fmt: skip
    actions.amend(
        EVERYTHING, here.plan, terms=wanted, now=timezone.now(), collector=here.collector, elsewhere=vault
    )
    here.plan.refresh_from_db()
    site.plan = here.plan.pk

    (order,) = orders(here.collector)
    assert [one.work for one in order.works] == ["look"]
    site.known = False
    site.records.write_plans([order])
    code, run = site.job()
    assert code == 0
    asyncio.run(site.until(order, lambda one: isinstance(one, RepositoryReport)))
    assert not here.take(run, *(one for _, one in site.reports)).refused

    actions.want_work(EVERYTHING, here.plan, work="elsewhere", now=timezone.now())
    assert not orders(here.collector)[0].wanted, "the machine of the job is not asked"
    (order,) = orders(vault)
    assert [one.work for one in order.works] == ["elsewhere"] and order.bound[0].manifest == run.manifest
    assert order.secrets == {"password": PASSWORD}
    site.reports.clear()
    shutil.rmtree(site.source)  # the disaster
    shutil.rmtree(site.agent)
    asyncio.run(site.until(order, lambda one: isinstance(one, ProofReport), agent=tmp_path / "vault"))
    proof = next(one for _, one in site.reports if isinstance(one, ProofReport))
    assert proof.ok and proof.work == "elsewhere" and proof.files_equal == proof.files_expected == 12
    assert here.take(proof, collector=make_collector(here.client)).refused, "of a machine that nobody asked"
    assert not here.take(proof, collector=vault).refused

    judging = Judging(Judge(load_packs(builtin_packs())), Road(Sources()), WallClock())
    judging.tick(to_ms(timezone.now()))
    judging.tick(to_ms(timezone.now()) + 6_000)
    standing = PlanStanding.objects.get(plan=here.plan)
    assert standing.level == 6, standing.rungs
    assert not queries.find_plan(EVERYTHING, here.plan.pk).wanted  # type: ignore[union-attr]
    sealed = Proof.objects.get(proof=proof.proof)
    assert sealed.ok and sealed.level == 6 and sealed.seq is not None
