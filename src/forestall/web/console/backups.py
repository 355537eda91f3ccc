"""The pages of backups: the board, what is expected next, a plan, what is in no plan, a proof."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.backups import actions, coverage, queries, sealing
from forestall.backups.board_place import place_of
from forestall.backups.document import proof_pdf
from forestall.backups.models import BackupPlan, BackupRun, PlanStanding
from forestall.backups.values import WORK_TITLES
from forestall.estate import queries as estate
from forestall.journal.models import Entry
from forestall.journal.queries import last_entries
from forestall.judge.backups.values import LEVEL_NAMES, WORK_OF_LEVEL
from forestall.kernel.backups import LEVEL_OF_WORK, SourceSeen
from forestall.web.access.gate import needs
from forestall.web.console.backup_drawing import (
    STRIP_DAYS,
    at_of,
    copies_of,
    last_proved_goes,
    said_now,
    said_of_strip,
    steps_of,
    strip_of,
)
from forestall.web.console.common import Asked, attempt, seen_or_404

PAGE = 50
RUNS_SHOWN = 400
COPIES_SHOWN = 30
PROOFS_SHOWN = 30
RUNS_LISTED = 30
HISTORY_SHOWN = 20
DECISIONS = {
    "backup.plan_added": "made the plan",
    "backup.plan_amended": "changed it",
    "backup.plan_paused": "paused it",
    "backup.plan_resumed": "let it go on",
    "backup.plan_accepted": "accepted what was found",
    "backup.plan_archived": "ended it",
    "backup.work_wanted": "asked for a proof",
    "backup.work_not_wanted": "took that back",
}
FACES = {
    "": "All",
    "wrong": "Something is wrong",
    "overdue": "Proof overdue",
    "unproved": "Never restored",
    "paused": "Paused",
}
PAUSES = {"1": "a day", "7": "a week", "30": "a month", "": "until I go on"}
SERIES = {
    "size": "backup.size_bytes",
    "added": "backup.added_bytes",
    "took": "backup.run_minutes",
    "free": "backup.free_bytes",
}


@needs("findings:read")
def backup_board(request: Asked) -> HttpResponse:
    """Every plan that the person may see, the worst first."""
    scope, given = request.scope, request.GET
    show = given.get("show", "")
    show = show if show in FACES else ""
    client = given.get("client", "")
    after = given.get("after", "")[:80]
    words = given.get("q", "")[:200]
    found = queries.board(scope, client=client, words=words, show=show, after=after, limit=PAGE)
    counts = queries.count_board(scope, client=client)
    context = {
        "nav": "backups",
        "rows": [(row, steps_of(row)) for row in found[:PAGE]],
        "counts": counts,
        "faces": FACES,
        "show": show,
        "q": words,
        "client": estate.find_client(scope, client) if client else None,
        "next": place_of(found[PAGE - 1]) if len(found) > PAGE else "",
        "after": after,
        "now": timezone.now(),
    }
    return render(request, "console/backups.html", context)


@needs("findings:read")
def backup_expected(request: Asked) -> HttpResponse:
    """What is expected of plans and by when: nothing stops silently."""
    found, more = queries.deadlines(request.scope)
    context = {
        "nav": "backups",
        "rows": [(one, WORK_TITLES[work] if (work := WORK_OF_LEVEL.get(one.level)) else "") for one in found],
        "more": more,
        "now": timezone.now(),
    }
    return render(request, "console/backups_expected.html", context)


@needs("findings:read")
def backup_plan(request: Asked, plan: str) -> HttpResponse:
    """Is the data back if it burns now? What proved it, runs, copies, and what is wrong."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: queries.find_plan(scope, plan))
    standing: PlanStanding | None = getattr(row, "standing", None)
    runs = queries.newest_runs(scope, row.pk, limit=RUNS_SHOWN)
    look = queries.newest_look(scope, row.pk, opened=True)
    drill = next((one for one in queries.list_proofs(scope, plan=row.pk, works=["drill"]) if one.ok), None)
    copies = copies_of(row, look, drill=drill, shown=COPIES_SHOWN, now=now)
    spec = actions.tools().get(row.tool)
    doubtful: dict[str, str] = standing.implausible if standing else {}
    strip = strip_of(runs, doubtful, zone=row.client.timezone or "UTC", now=now)
    context = {
        "nav": "backups",
        "plan": row,
        "standing": standing,
        "now_said": said_now(row, standing, drill, last=runs[0] if runs else None, now=now),
        "steps": steps_of(standing),
        "strip": strip,
        "strip_said": said_of_strip(strip),
        "runs": runs[:RUNS_LISTED],
        "doubtful": doubtful,
        "sources": _sources(request, runs),
        "look": look,
        "look_at": at_of(look.at_ms) if look else None,
        "copies": copies,
        "proved_goes": last_proved_goes(copies),
        "findings": queries.findings_of(scope, row),
        "proofs": queries.list_proofs(scope, plan=row.pk, limit=PROOFS_SHOWN)[:PROOFS_SHOWN],
        "drill": drill,
        "works": {work: WORK_TITLES[work] for work in WORK_TITLES if spec and work in spec.produces},
        "titles": WORK_TITLES,
        "spec": spec,
        "pauses": PAUSES,
        "series": SERIES if runs else {},
        "history": _history(row),
        **_going_on(request, row),
    }
    return render(request, "console/backup_plan.html", context)


@needs("findings:read")
def backup_progress(request: Asked, plan: str) -> HttpResponse:
    """What is being proved now: a part of the plan's page that fetches itself."""
    row = seen_or_404(lambda: queries.find_plan(request.scope, plan))
    context = {"plan": row, "titles": WORK_TITLES, **_going_on(request, row)}
    return render(request, "console/_backup_progress.html", context)


def _sources(request: Asked, runs: list[BackupRun]) -> list[SourceSeen]:
    """The sources as the newest run that looked at them found them."""
    seen = next((run for run in runs if run.by == "job" and run.said != "running"), None)
    found = queries.find_run(request.scope, str(seen.pk)) if seen else None
    return found[1].sources if found else []


def _history(row: BackupPlan) -> list[tuple[Entry, str, str]]:
    """What people decided about the plan, the newest first, with what it was and why."""
    found = []
    for entry in last_entries(most=HISTORY_SHOWN, clients=[row.client_id], subject=row.pk):
        body = msgspec.json.decode(bytes(entry.body), type=dict[str, Any])
        said = body.get("body", body)
        title = DECISIONS.get(entry.kind, entry.kind.removeprefix("backup.").replace("_", " "))
        found.append((entry, title, str(said.get("because") or WORK_TITLES.get(said.get("work"), ""))))
    return found


def _going_on(request: Asked, row: BackupPlan) -> dict[str, Any]:
    """What is being proved now, and what is wanted and has not begun."""
    progress = queries.progress_of(request.scope, row.pk)
    begun = {one.proof for one in progress}
    return {"progress": progress, "wanted": [one for one in row.wanted if one["proof"] not in begun]}


@needs("findings:read")
def backup_series(request: Asked, plan: str) -> HttpResponse:
    """The points of a chart of runs or of the repository's room: [times in s, low, mean, high]."""
    row = seen_or_404(lambda: queries.find_plan(request.scope, plan))
    what = request.GET.get("what", "size")
    points: list[tuple[datetime, float]]
    if what == "free":
        since = timezone.now() - timedelta(days=2 * STRIP_DAYS)
        looks = queries.looks_since(request.scope, row.pk, since)
        points = [(one.at, float(one.free)) for one in looks if one.free is not None]
    else:
        runs = queries.newest_runs(request.scope, row.pk, limit=RUNS_SHOWN)
        points = [(run.at, value) for run in reversed(runs) if (value := _value(run, what)) is not None]
    times, values = [at.timestamp() for at, _ in points], [value for _, value in points]
    return JsonResponse([times, values, values, values], safe=False)


def _value(run: BackupRun, what: str) -> float | None:
    if what == "took":
        if run.began_at is None or run.ended_at is None:
            return None
        return (run.ended_at - run.began_at).total_seconds() / 60
    value = run.added if what == "added" else run.size
    return None if value is None else float(value)


@needs("estate:write")
def backup_change(request: Asked, plan: str, what: str) -> HttpResponse:
    """Prove now; pause, go on, accept, archive."""
    scope, given, now = request.scope, request.POST, timezone.now()
    row = seen_or_404(lambda: queries.find_plan(scope, plan))
    match what:
        case "want":
            work: Any = given.get("work", "drill")
            attempt(
                request,
                lambda: actions.want_work(scope, row, work=work, now=now),
                "Asked for. The collector begins within 15 seconds; the page shows how far it is.",
            )
        case "take-back":
            attempt(
                request,
                lambda: actions.take_back(scope, row, proof=given.get("proof", ""), now=now),
                "It is not wanted any more.",
            )
        case "pause":
            days = given.get("days", "")
            until = now + timedelta(days=int(days)) if days in PAUSES and days else None
            attempt(
                request,
                lambda: actions.pause(scope, row, because=given.get("because", ""), until=until, now=now),
                "Paused. Nothing is expected of it meanwhile.",
            )
        case "resume":
            attempt(request, lambda: actions.resume(scope, row, now=now), "It is expected again from now on.")
        case "accept":
            attempt(
                request,
                lambda: actions.accept(scope, row, because=given.get("because", ""), now=now),
                "From now on that is normal.",
            )
        case "archive":
            if attempt(
                request,
                lambda: actions.archive(scope, row, now=now),
                f"{row.name} is expected no more. What was proved stays.",
            ):
                return redirect("backups")
    return redirect("backup-plan", plan=row.pk)


@needs("findings:read")
def backup_coverage(request: Asked, client: str) -> HttpResponse:
    """What the client's machines hold, and what of it is in no plan."""
    row = seen_or_404(lambda: estate.find_client(request.scope, client))
    things = coverage.coverage(request.scope, client=row.pk)
    context = {
        "nav": "backups",
        "client": row,
        "uncovered": [one for one in things if one.uncovered],
        "covered": [one for one in things if not one.uncovered],
    }
    return render(request, "console/backup_coverage.html", context)


@needs("estate:write")
def backup_leave_out(request: Asked, asset: str) -> HttpResponse:
    """Something on a machine needs no backup; or does after all."""
    given = request.POST
    row = seen_or_404(lambda: estate.find_asset(request.scope, asset))
    because = given.get("because", "")
    attempt(
        request,
        lambda: actions.leave_out(
            request.scope, row, what=given.get("thing", ""), name=given.get("name", ""), because=because,
            now=timezone.now(),
        ),
        "Left out, with the reason." if because.strip() else "It is asked for again.",
    )  # fmt: skip
    return redirect("backup-coverage", client=row.client_id)


@needs("findings:read")
def backup_proof(request: Asked, proof: str) -> HttpResponse:
    """A proof: what was restored, from which copy, how it was compared, and what came of it."""
    row, report = seen_or_404(lambda: queries.find_proof(request.scope, proof))
    context = {
        "nav": "backups",
        "row": row,
        "report": report,
        "title": WORK_TITLES[report.work],
        "level": LEVEL_NAMES[LEVEL_OF_WORK[report.work]],
        "copy_at": at_of(report.copy_at_ms),
        "canary_at": at_of(report.canary_at_ms),
        "manifest_at": at_of(report.manifest.at_ms) if report.manifest else None,
    }
    return render(request, "console/backup_proof.html", context)


@needs("findings:read")
def backup_proof_file(request: Asked, proof: str) -> HttpResponse:
    """The sealed proof as a file that anybody verifies without us."""
    row, _ = seen_or_404(lambda: queries.find_proof(request.scope, proof))
    return _download(
        request, row.plan, row.pk,
        lambda: sealing.export_proof(request.scope, row.pk, now=timezone.now()), "application/json", "json",
    )  # fmt: skip


@needs("findings:read")
def backup_proof_pdf(request: Asked, proof: str) -> HttpResponse:
    """The proof as one page for an auditor."""
    row, report = seen_or_404(lambda: queries.find_proof(request.scope, proof))

    def make() -> bytes:
        sealed = sealing.seal_now(request.scope, row.pk, now=timezone.now())
        return proof_pdf(sealed, report, provider=estate.provider(request.scope).name)

    return _download(request, row.plan, row.pk, make, "application/pdf", "pdf")


def _download(
    request: Asked, plan: BackupPlan, proof: str, make: Any, content_type: str, ending: str
) -> HttpResponse:
    made: list[bytes] = []
    if not attempt(request, lambda: made.append(make())):
        return redirect("backup-proof", proof=proof)
    answer = HttpResponse(made[0], content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="proof-{proof}.{ending}"'
    return answer
