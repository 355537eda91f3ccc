"""What is kept of backups for how long: runs as rows for three years, their whole reports while the judge
looks at them, proofs for ten years. A client that is on hold loses nothing."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from forestall.backups.models import BackupPlan, BackupRun, DrillProgress, Proof, RepositoryLook
from forestall.backups.packing import pack, run_of, without_words
from forestall.estate.tenancy import system_scope
from forestall.judge.backups.values import LOOKS_MAX, RUNS_MAX

RUNS_KEPT = timedelta(days=3 * 366)
WORDS_KEPT = timedelta(days=35)
PROOFS_KEPT = timedelta(days=10 * 366)
SMALL_PROOFS_KEPT = timedelta(days=400)  # of a check or a slice, each day
PROGRESS_KEPT = timedelta(days=2)
STEP = 1_000
STEPS_MAX = 5_000
SCOPE = system_scope("retention")


def keep_backups(*, now: datetime, held: Collection[str] = ()) -> dict[str, int]:
    """Remove what is older than that, but for the clients that are `held`; how many rows, by what."""
    runs = BackupRun.objects.of(SCOPE).exclude(client__in=held)
    proofs = Proof.objects.of(SCOPE).exclude(client__in=held)
    small = proofs.filter(work__in=("check", "read"), ended_at__lt=now - SMALL_PROOFS_KEPT)
    gone = {
        "runs": _delete(runs.filter(at__lt=now - RUNS_KEPT)),
        "proofs": _delete(small) + _delete(proofs.filter(ended_at__lt=now - PROOFS_KEPT)),
        "progress": DrillProgress.objects.of(SCOPE).filter(at__lt=now - PROGRESS_KEPT).delete()[0],
    }
    looks = reports = 0
    for plan in BackupPlan.objects.of(SCOPE).exclude(client__in=held).values_list("pk", flat=True).iterator():
        looks += _thin_looks(plan)
        reports += _thin_reports(plan)
    words = _drop_words(now, held)
    return gone | {"looks": looks, "reports": reports, "words": words}


def _thin_looks(plan: str) -> int:
    rows = RepositoryLook.objects.of(SCOPE).filter(plan=plan).order_by("-at")
    opened = rows.filter(opened=True).values_list("pk", flat=True).first()
    keys = list(rows.values_list("pk", flat=True)[LOOKS_MAX : LOOKS_MAX + STEP])
    return RepositoryLook.objects.of(SCOPE).filter(pk__in=set(keys) - {opened}).delete()[0]


def _thin_reports(plan: str) -> int:
    """Of runs that the judge no longer looks at, the columns stay."""
    rows = BackupRun.objects.of(SCOPE).filter(plan=plan).order_by("-at", "-pk")
    last = rows.values_list("at", flat=True)[RUNS_MAX : RUNS_MAX + 1].first()
    if last is None:
        return 0
    return rows.order_by().filter(at__lte=last, report__isnull=False).update(report=None)


def _drop_words(now: datetime, held: Collection[str]) -> int:
    """What tools said is kept for a month; each run is looked at on one day only."""
    until = now - WORDS_KEPT
    rows = BackupRun.objects.of(SCOPE).exclude(client__in=held).filter(report__isnull=False)
    done = 0
    for row in rows.filter(at__lt=until, at__gte=until - timedelta(days=3)).iterator(chunk_size=STEP):
        report = run_of(row)
        if report.output or report.excludes:
            BackupRun.objects.of(SCOPE).filter(pk=row.pk).update(report=pack(without_words(report)))
            done += 1
    return done


def _delete(rows: "QuerySet[Any]") -> int:
    """Piece by piece, so that nobody waits long for the database."""
    gone = 0
    for _ in range(STEPS_MAX):
        keys = list(rows.order_by().values_list("pk", flat=True)[:STEP])
        if not keys:
            break
        gone += rows.model._base_manager.filter(pk__in=keys).delete()[0]
    return gone
