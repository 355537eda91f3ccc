"""The round of problems: new findings and tickets get fingerprints; what recurs is a problem; watches end.

Called by the road after alerts and tickets. It reads rows behind its cursor alone (OVERLAP behind it again,
for what another process committed late), so its cost is that of what is new. Safe to repeat.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from forestall.configs.models import Change
from forestall.findings.gate import every
from forestall.findings.models import Finding
from forestall.journal.actions import append
from forestall.judge.recurrence import Families, Fingerprint, Traits, Verdict, fingerprint
from forestall.judge.values import State
from forestall.kernel.ids import RANDOM_BITS, from_number, to_number
from forestall.kernel.templates import Templates
from forestall.problems.decide import PROPOSE_WITHIN, decide_end, decide_occurrence, is_episode
from forestall.problems.models import Fix, Occurrence, Problem, Round, Same
from forestall.problems.suspecting import suspect
from forestall.tickets.models import Entry, Ticket

ACTOR = "forestall:problems"
OVERLAP_MS = 10 * 60_000
MOST = 500  # rows of a round; the next one goes on
TIMES_MOST = 200
RANK_WITHIN = timedelta(hours=24)  # of an onset, in which changes that are seen late count
VERDICTS_MOST = 10_000
LINES_MOST = 5
# Templates that learned nothing: what they say of a line is the same in every process and at every time.
RULES_ALONE = Templates()


def go_round(*, now: datetime, also: Sequence[Finding] = ()) -> list[str]:
    """Everything that is new since the last round, and the findings of `also` (they became worse); the
    problems that were proposed, reopened or proven."""
    held, _ = Round.objects.get_or_create(id=1)
    before = (held.finding, held.ticket, held.change)
    moved: list[str] = []
    known = (
        set(every(Occurrence).filter(finding__in=also).values_list("finding", flat=True)) if also else set()
    )
    for finding in also:
        if finding.pk not in known:
            moved += _take_finding(finding, now)
    fresh = every(Finding).filter(pk__gt=_behind(held.finding), tells=True, occurrence=None)
    for finding in fresh.select_related("asset").order_by("pk")[:MOST]:
        moved += _take_finding(finding, now)
        held.finding = max(held.finding, finding.pk)
    tickets = every(Ticket).filter(pk__gt=_behind(held.ticket), fingerprint="", occurrence=None)
    for ticket in tickets.select_related("asset").order_by("pk")[:MOST]:
        moved += take_ticket(ticket, now=now)
        held.ticket = max(held.ticket, ticket.pk)
    held.change = _rank_again(held.change, now)
    if before != (held.finding, held.ticket, held.change):
        held.save()
    moved += end_watches(now=now)
    return moved


def _rank_again(cursor: str, now: datetime) -> str:
    """Changes that became known only now may stand before an onset that was ranked already."""
    fresh = every(Change).filter(pk__gt=cursor).order_by("pk").values_list("pk", "client")[:MOST]
    rows = list(fresh)
    if not rows:
        return cursor
    live = Q(status="proposed") | Q(status="open")
    for problem in every(Problem).filter(live, client__in={client for _, client in rows})[:MOST]:
        last = every(Occurrence).filter(problem=problem, episode=True).order_by("-at").first()
        if last is not None and now - last.at <= RANK_WITHIN:
            suspect(problem, last, now=now)
    return max(pk for pk, _ in rows)


def end_watches(*, now: datetime) -> list[str]:
    """Fixes whose watch is over without a return are proven."""
    proven = []
    for fix in every(Fix).filter(state="on_watch", watch_until__lte=now).order_by("watch_until")[:MOST]:
        with transaction.atomic():
            row = every(Fix).select_for_update().get(pk=fix.pk)
            if row.state != "on_watch" or _watch_longer(row, now):
                continue
            row.state, row.proven_at = "proven", now
            row.save(update_fields=["state", "proven_at"])
            problem = every(Problem).select_for_update().get(pk=row.problem_id)
            problem.status, problem.closed_at, problem.changed_at = "proven", now, now
            problem.save(update_fields=["status", "closed_at", "changed_at"])
            journal("problem.proven", problem, actor=ACTOR, now=now, more={"fix": row.pk})
            proven.append(problem.pk)
    return proven


def _watch_longer(fix: Fix, now: datetime) -> bool:
    """Whether the watch goes on, because the asset was silent for a part of it."""
    spans = (
        every(Finding)
        .filter(asset=fix.problem.asset_id, worst=State.SILENT.value, began_at__lt=fix.watch_until)
        .filter(Q(ended_at=None) | Q(ended_at__gt=fix.done_at))
        .order_by("began_at")
        .values_list("began_at", "ended_at")[:MOST]
    )
    more = decide_end(
        done_at=fix.done_at,
        watch_until=fix.watch_until,
        unseen=timedelta(seconds=fix.unseen_s),
        spans=list(spans),
        now=now,
    )
    if more < timedelta(seconds=1):
        return False
    fix.watch_until += more
    fix.unseen_s += int(more.total_seconds())
    fix.save(update_fields=["watch_until", "unseen_s"])
    said = {"fix": fix.pk, "unseen_s": fix.unseen_s, "watch_until": fix.watch_until.isoformat()}
    journal("problem.watched_longer", fix.problem, actor=ACTOR, now=now, more=said)
    return True


def families_of(client: str) -> Families:
    """What people of ours joined and parted for a client."""
    rows = every(Same).filter(client=client).order_by("-at")[:VERDICTS_MOST]
    return Families(Verdict(row.left, row.right, row.same, row.at) for row in rows)


def place(occurrence: Occurrence, *, now: datetime) -> list[str]:
    """Put an occurrence on its problem, or propose one; the problem when it was proposed or reopened."""
    if not occurrence.key_client:
        return []
    family = families_of(occurrence.client_id).of(occurrence.key_client)
    problem = every(Problem).filter(client=occurrence.client_id, key__in=family).order_by("opened_at").first()
    mine = every(Occurrence).filter(client=occurrence.client_id, key_client__in=family)
    times = list(mine.filter(episode=True).order_by("-at").values_list("at", flat=True)[:TIMES_MOST])
    last_fix = every(Fix).filter(problem=problem).order_by("-done_at").first() if problem else None
    verdict = decide_occurrence(
        status=problem.status if problem else "",
        times=times,
        at=occurrence.at,
        done_at=last_fix.done_at if last_fix else None,
        episode=occurrence.episode,
    )
    with transaction.atomic():
        if verdict.does == "propose":
            problem = _propose(occurrence, verdict.why, now)
            recent = mine.filter(problem=None, at__gte=occurrence.at - PROPOSE_WITHIN)
            recent.update(problem=problem)
        elif problem is not None:
            every(Occurrence).filter(pk=occurrence.pk).update(problem=problem)
            if verdict.does == "reopen" and last_fix is not None:
                _reopen(problem, last_fix, occurrence, verdict.why, now)
    if problem is None:
        return []
    if occurrence.episode:
        suspect(problem, occurrence, now=now)
    return [problem.pk] if verdict.does in {"propose", "reopen"} else []


def journal(kind: str, problem: Problem, *, actor: str, now: datetime, more: dict[str, object]) -> None:
    """An entry of the journal about a problem."""
    body = {"title": problem.title, "status": problem.status} | more
    append(kind, actor=actor, body=body, at=now, client=problem.client_id, subject=problem.pk)


def _take_finding(finding: Finding, now: datetime) -> list[str]:
    changes = (finding.item,) if finding.pack in {"configuration", "device-configuration"} else ()
    lines = finding.answer.splitlines() if "lines" in finding.numbers else []  # of a rule on log lines
    prints = fingerprint(
        Traits(
            client=finding.client_id,
            asset=finding.asset_id,
            asset_kind=finding.asset.kind,
            rule=finding.rule,
            item=finding.item,
            changes=changes,
            templates=template_of(lines),
        )
    )
    if finding.worst == State.DRIFTING.value:
        return []
    made = _occurred(
        prints, client=finding.client_id, asset=finding.asset_id, at=finding.began_at, of=finding
    )
    return place(made, now=now) if made else []


def template_of(lines: Sequence[str]) -> tuple[int, ...]:
    """The template that most of a finding's lines have: which of the others came with it is chance."""
    counts = Counter(RULES_ALONE.of_line(line).fingerprint for line in lines[:LINES_MOST])
    return tuple(sorted(counts, key=lambda one: (-counts[one], one))[:1])


def take_ticket(ticket: Ticket, *, now: datetime) -> list[str]:
    """A ticket has the fingerprint of its first finding; a report of a client its own, by its words."""
    found = (
        every(Occurrence)
        .filter(finding__alerts__tickets=ticket)
        .exclude(key_client="")
        .order_by("at", "pk")
        .first()
    )
    if found is not None:
        every(Ticket).filter(pk=ticket.pk).update(fingerprint=found.key_client)
        return []
    if ticket.cause_key:
        return []
    opened = every(Entry).filter(ticket=ticket).order_by("at", "pk").first()
    words = f"{ticket.title}\n{opened.text if opened else ''}"[:4000]
    kind = ticket.asset.kind if ticket.asset else ""
    prints = fingerprint(
        Traits(client=ticket.client_id, asset=ticket.asset_id or "", asset_kind=kind, words=words)
    )
    if not prints.client:
        return []
    every(Ticket).filter(pk=ticket.pk).update(fingerprint=prints.client)
    made = _occurred(prints, client=ticket.client_id, asset=ticket.asset_id, at=ticket.opened_at, of=ticket)
    return place(made, now=now) if made else []


def _occurred(
    prints: Fingerprint, *, client: str, asset: str | None, at: datetime, of: Finding | Ticket
) -> Occurrence | None:
    """The row of an occurrence; None when another process made it."""
    before = every(Occurrence).filter(client=client, key_client=prints.client, episode=True, at__lte=at)
    last = before.order_by("-at").values_list("at", flat=True).first()
    try:
        with transaction.atomic():
            return Occurrence.objects.create(
                client_id=client,
                asset_id=asset,
                finding=of if isinstance(of, Finding) else None,
                ticket=of if isinstance(of, Ticket) else None,
                key_asset=prints.asset,
                key_client=prints.client,
                key_everywhere=prints.everywhere,
                said=prints.said[:300],
                at=at,
                episode=is_episode(at, last),
            )
    except IntegrityError:
        return None


def _propose(occurrence: Occurrence, why: str, now: datetime) -> Problem:
    problem = Problem.objects.create(
        client_id=occurrence.client_id,
        asset_id=occurrence.asset_id,
        key=occurrence.key_client,
        title=_title(occurrence),
        status="proposed",
        why=f"Proposed because {why}.",
        opened_at=now,
        opened_by=ACTOR,
        changed_at=now,
    )
    journal("problem.proposed", problem, actor=ACTOR, now=now, more={"why": why})
    return problem


def _title(occurrence: Occurrence) -> str:
    name = occurrence.asset.name if occurrence.asset else "several"
    if occurrence.finding is None:
        return f"{occurrence.said} ({name})"[:300]
    item = f" {occurrence.finding.item}" if occurrence.finding.item else ""
    return f"{occurrence.finding.rule}{item} on {name} keeps coming back"[:300]


def _reopen(problem: Problem, fix: Fix, occurrence: Occurrence, why: str, now: datetime) -> None:
    fix.state, fix.came_back_at = "came_back", occurrence.at
    fix.save(update_fields=["state", "came_back_at"])
    row = every(Problem).select_for_update().get(pk=problem.pk)
    row.status, row.closed_at, row.changed_at = "open", None, now
    row.reopened += 1
    row.save(update_fields=["status", "closed_at", "changed_at", "reopened"])
    journal("problem.reopened", row, actor=ACTOR, now=now, more={"why": why, "fix": fix.pk})


def _behind(cursor: str) -> str:
    if not cursor:
        return ""
    return from_number(max(0, to_number(cursor) - (OVERLAP_MS << RANDOM_BITS)))


def place_again(client: str, keys: Iterable[str], *, now: datetime) -> list[str]:
    """After people joined or parted: occurrences of these fingerprints without a problem find theirs."""
    rows = every(Occurrence).filter(client=client, key_client__in=list(keys), problem=None)
    moved: list[str] = []
    for row in rows.select_related("asset", "finding").order_by("at")[:TIMES_MOST]:
        moved += place(row, now=now)
    return moved
