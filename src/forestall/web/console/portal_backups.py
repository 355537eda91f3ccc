"""What a client's own people see of their backups: when each was last restored to prove it, and the proof.

Scoped by the tenancy gate like every page; it needs no more than a client contact may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from forestall.backups import queries, sealing
from forestall.backups.document import proof_pdf
from forestall.backups.models import PlanStanding, Proof
from forestall.estate import queries as estate
from forestall.judge.values import State
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, seen_or_404
from forestall.web.portal.pages import who_asks

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A plan as its owner sees it. `face`: "ok", "warn" or "bad"; `said`: the same in words."""

    row: PlanStanding
    face: str
    said: str
    restored_at: datetime | None
    proof: Proof | None


@needs("portal:read")
def portal_backups(request: Asked) -> HttpResponse:
    """Every plan of the person's clients, the worst first."""
    scope = request.scope
    rows = queries.board(scope, limit=SHOWN)
    proofs = queries.newest_restores(scope, [row.plan_id for row in rows[:SHOWN]])
    shown = [_shown(row, proofs.get(row.plan_id)) for row in rows[:SHOWN]]
    context = {
        "shown": shown,
        "more": len(rows) > SHOWN,
        "several": len({row.client_id for row in rows}) > 1,
        "proved": sum(one.face == "ok" for one in shown),
        "provider": estate.provider(scope).name,
        "contact": who_asks(request),
        "now": timezone.now(),
    }
    return render(request, "console/portal_backups.html", context)


@needs("portal:read")
def portal_proof_pdf(request: Asked, proof: str) -> HttpResponse:
    """The page for an auditor, of a restore that held."""
    row, report = seen_or_404(lambda: queries.find_proof(request.scope, proof))
    if not row.ok or row.level < queries.RESTORED_LEVEL:
        raise Http404
    try:
        sealed = sealing.seal_now(request.scope, row.pk, now=timezone.now())
        made = proof_pdf(sealed, report, provider=estate.provider(request.scope).name)
    except Trouble as trouble:
        return HttpResponse(str(trouble), status=503, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(made, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="proof-{row.pk}.pdf"'
    return answer


def _shown(row: PlanStanding, proof: Proof | None) -> Shown:
    restored_at = _restored(row.rungs)
    if row.plan.paused_at is not None:
        return Shown(row, "warn", "Paused: nothing is expected of it now", restored_at, proof)
    if row.concern >= State.OUT_OF_SPEC.concern or row.concern == State.SILENT.concern:
        return Shown(row, "bad", "Something is wrong, and your provider has been told", restored_at, proof)
    if restored_at is None:
        said = "It runs, and was never restored to prove it" if row.last_good_at else "Nothing is proved yet"
        return Shown(row, "warn", said, None, proof)
    if row.overdue:
        return Shown(row, "warn", "A newer proof is overdue", restored_at, proof)
    return Shown(row, "ok", "It came back when it was tried", restored_at, proof)


def _restored(rungs: Sequence[dict[str, int | str | None]]) -> datetime | None:
    """When a restore was last proved, of any level that restores."""
    known = [
        rung["at_ms"]
        for rung in rungs[queries.RESTORED_LEVEL :]
        if isinstance(rung.get("at_ms"), int) and rung.get("status") in ("proved", "late")
    ]
    newest = max((one for one in known if isinstance(one, int)), default=None)
    return from_ms(newest) if newest is not None else None
