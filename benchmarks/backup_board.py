"""How long the board of backups takes at 5,000 plans with three years of daily runs, and what judging
one costs.

Each figure is a median of CPU ms in one process, with SQLite in a file: the board's first page as everybody
sees it and for one client, its counts, every deadline, both as whole pages, a plan's
runs; a plan's history loaded, judged.
Run: python benchmarks/backup_board.py [--plans 5000] [--days 1096]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CLIENTS = 250
WHOLE_RUNS = 400
TIMES = 21


FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)
INSERT INTO backups_backuprun (client_id, plan_id, run, at, by, said, began_at, ended_at, copy, files, size,
                               reason, heard_ms, report)
SELECT p.client_id, p.id, p.id || n.i, datetime('now', -n.i || ' days'), 'job', 'success',
       datetime('now', -n.i || ' days', '-5 minutes'), datetime('now', -n.i || ' days'), p.id || n.i,
       10000 + n.i % 9, 53687091200 - n.i * 1000000, '', 0, CASE WHEN n.i < r.whole THEN r.report END
FROM n, backups_backupplan p, (SELECT %s AS report, %s AS whole) r
"""


def main() -> None:
    reading = argparse.ArgumentParser()
    reading.add_argument("--plans", type=int, default=5_000)
    reading.add_argument("--days", type=int, default=3 * 365 + 1)
    given = reading.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORESTALL_DATA"] = folder
        from forestall.kernel.datadir import DataDir
        from forestall.processes.setup import start_django

        DataDir(Path(folder)).create()
        start_django()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        began = time.process_time()
        plans = fill(given.plans, given.days)
        filled_s = time.process_time() - began
        print(json.dumps({"rows": rows(), "filled_cpu_s": round(filled_s, 1)} | measure(plans), indent=1))


def fill(count: int, days: int) -> list[str]:
    """Clients, machines, plans, standings and runs; identifiers of the plans."""
    import msgspec
    from django.db import connection

    from forestall.backups.models import BackupPlan, BackupRun, PlanStanding
    from forestall.backups.packing import pack
    from forestall.backups.values import CADENCES
    from forestall.estate.models import Asset, Client
    from forestall.kernel.backups import RunReport, SourceSeen
    from forestall.kernel.clock import to_ms

    now = datetime.now(UTC).replace(microsecond=0)
    clients = Client.objects.bulk_create([Client(name=f"Client {number:04}") for number in range(CLIENTS)])
    assets = Asset.objects.bulk_create(
        [
            Asset(client=clients[number % CLIENTS], name=f"srv-{number}", kind="server")
            for number in range(count)
        ]
    )
    plans = BackupPlan.objects.bulk_create(
        [
            BackupPlan(
                client_id=asset.client_id, asset=asset, name="Files", tool="restic", repository="/mnt/repo",
                sources=["/srv/data"], every_s=86_400, cadences=dict(CADENCES), made_by="benchmark",
                started_at=now - timedelta(days=days), made_at=now - timedelta(days=days), touched_at=now,
            )
            for asset in assets
        ]
    )  # fmt: skip
    rungs = [
        {"level": level, "name": "a level of the ladder", "status": "proved", "said": "proved " * 12,
         "at_ms": to_ms(now), "copy": "ab" * 32, "due_ms": to_ms(now), "overdue": False}
        for level in range(7)
    ]  # fmt: skip
    PlanStanding.objects.bulk_create(
        [
            PlanStanding(
                plan=plan, client_id=plan.client_id, concern=(number % 40 == 0) * 3,
                findings=number % 40 == 0,
                overdue=number % 25 == 0, level=number % 5, proved_at=now - timedelta(hours=number % 999),
                said="level 4, restored, every file as at the source, proved 3 days ago", rungs=rungs,
                reason="the source /srv/data is empty" if number % 40 == 0 else "", last_run_at=now,
                last_said="success", last_good_at=now, last_size=50 << 30, judged_at=now,
                next_due_at=now + timedelta(minutes=number % 1440), next_due="The next run",
            )
            for number, plan in enumerate(plans)
        ]
    )  # fmt: skip
    report = RunReport(
        plan=plans[0].pk, run="0", at_ms=0, by="job", said="success", began_ms=0, ended_ms=0, tool="restic",
        version="0.14.0", exit_code=0, output="", copy="ab" * 32, files=10_000, size=50 << 30, added=1 << 28,
        sources=[SourceSeen("/srv/data", True, "/dev/sdb1 ext4", True, 10_000, 50 << 30)],
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(FILL, [days, pack(report), WHOLE_RUNS])
    middle = plans[len(plans) // 2]
    for row in BackupRun.objects.filter(plan=middle, report__isnull=False):
        at_ms = to_ms(row.at)
        row.report = pack(
            msgspec.structs.replace(
                report, plan=middle.pk, run=row.run, at_ms=at_ms, began_ms=at_ms - 300_000, ended_ms=at_ms,
                copy=row.run.ljust(64, "0"), size=row.size,
            )
        )  # fmt: skip
        row.save(update_fields=["report"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return [plan.pk for plan in plans]


def rows() -> dict[str, Any]:
    from django.conf import settings

    from forestall.backups.models import BackupPlan, BackupRun

    size = Path(settings.DATA.database).stat().st_size
    return {
        "plans": BackupPlan.objects.count(), "runs": BackupRun.objects.count(),
        "database_mb": round(size / 1e6), "bytes_a_run": round(size / max(1, BackupRun.objects.count())),
    }  # fmt: skip


def measure(plans: list[str]) -> dict[str, Any]:
    from forestall.backups import queries
    from forestall.backups.board_place import place_of
    from forestall.backups.judged import history_of, judged_plan
    from forestall.backups.models import BackupPlan
    from forestall.estate.tenancy import Scope, system_scope
    from forestall.judge.backups import judge_plan
    from forestall.judge.pack import load_packs
    from forestall.judge.rules import Look
    from forestall.judge.shelf import builtin_packs
    from forestall.kernel.clock import to_ms

    every = system_scope("benchmark")
    middle = BackupPlan.objects.select_related("client", "standing").get(pk=plans[len(plans) // 2])
    middle_place = place_of(middle.standing)
    browser = signed_in()
    one = Scope("benchmark", clients=frozenset({middle.client_id}))
    judged = judged_plan(middle, produces=frozenset())
    history = history_of(middle, middle.standing)
    book = load_packs(builtin_packs())
    rules = [rule for pack in book.packs for rule in pack.rules if rule.look is Look.BACKUP]
    now_ms = to_ms(datetime.now(UTC))
    return {
        "board_ms": median_ms(lambda: queries.board(every, limit=100)),
        "board_wrong_ms": median_ms(lambda: queries.board(every, show="wrong", limit=100)),
        "board_words_ms": median_ms(lambda: queries.board(every, words="srv-49 files", limit=100)),
        "board_client_ms": median_ms(lambda: queries.board(one, limit=100)),
        "counts_ms": median_ms(lambda: queries.count_board(every)),
        "board_middle_ms": median_ms(lambda: queries.board(every, after=middle_place, limit=100)),
        "deadlines_ms": median_ms(lambda: queries.deadlines(every)),
        "page_ms": median_ms(lambda: opened(browser, "/backups/")),
        "page_expected_ms": median_ms(lambda: opened(browser, "/backups/expected/")),
        "runs_of_plan_ms": median_ms(lambda: queries.newest_runs(every, middle.pk)),
        "history_ms": median_ms(lambda: history_of(middle, middle.standing)),
        "judge_ms": median_ms(lambda: judge_plan(judged, history, rules=rules, now_ms=now_ms)),
        "history_runs": len(history.runs),
    }  # fmt: skip


def signed_in() -> Any:
    """A browser of somebody who sees everything."""
    from django.conf import settings
    from django.test import Client as Browser

    from forestall.estate.models import Person

    person = Person.objects.create(email="owner@provider.example", role="owner", all_clients=True)
    browser = Browser(headers={"host": "localhost"})
    browser.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[0])
    return browser


def opened(browser: Any, address: str) -> None:
    """A page, to its end."""
    answer = browser.get(address)
    assert answer.status_code == 200, answer.status_code


def median_ms(work: Callable[[], Any]) -> float:
    spent = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        spent.append((time.process_time() - began) * 1000)
    return round(statistics.median(spent), 2)


if __name__ == "__main__":
    main()
