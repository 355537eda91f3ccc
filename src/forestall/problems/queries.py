"""Every read of problems, tenant-scoped."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q, QuerySet

from forestall.configs.models import Change
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.kernel.words import say_duration
from forestall.problems.decide import Watch, decide_watch
from forestall.problems.models import Article, Expectation, Fix, Hypothesis, Occurrence, Problem, Suspects
from forestall.tickets.models import Effort, Entry, Ticket

PAGE_MOST = 200
SHOWN_MOST = 100
FIXES_MOST = 2_000
LIVE = ("proposed", "open", "on_watch")
PREVENT_WITHIN = timedelta(days=90)
EFFORT_LEAST = timedelta(minutes=15)  # a time, where nobody ran a timer


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a post-mortem's timeline."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A fingerprint of a problem: what was said the last time, how often it came. `own`: the problem was made
    for it; the others were joined by a person."""

    key: str
    said: str
    times: int
    last_at: datetime
    own: bool


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """Everything of one problem; `spent` is the effort on all its tickets, `spent_on` on each by its key,
    `watch` how long a fix of now would be watched, `changes` what may be named as the fix, newest first."""

    problem: Problem
    occurrences: list[Occurrence]
    times: int
    tickets: list[Ticket]
    spent: timedelta
    spent_on: dict[str, timedelta]
    hypotheses: list[Hypothesis]
    suspects: Suspects | None
    fixes: list[Fix]
    changes: list[Change]
    watch: Watch
    timeline: list[Line]
    articles: list[Article] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Behind:
    """What is known behind a ticket: its problem (how often it came, who is suspected of the last time) and
    what people wrote about its fingerprint."""

    problem: Problem | None
    times: int
    suspects: Suspects | None
    articles: list[Article]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many fixes were decided in a group, and how many of them came back."""

    group: str
    fixes: int
    came_back: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.came_back / self.fixes if self.fixes else 0.0


def of(scope: Scope) -> "QuerySet[Problem]":
    """All problems that the scope sees, with client and asset."""
    return seen(Problem, scope).select_related("client", "asset")


def list_problems(
    scope: Scope, *, status: str = "live", client: str = "", after: str | None = None, most: int = 50
) -> Page[Problem]:
    """Problems, the last changed first, with `times` they came. `status` "live" for all that are not decided.
    Raises Trouble for a wrong cursor."""
    rows = of(scope)
    if status == "live":
        rows = rows.filter(status__in=LIVE)
    elif status:
        rows = rows.filter(status=status)
    if client:
        rows = rows.filter(client=client)
    if after:
        at, key = read_cursor(after, tuple[datetime, str])
        rows = rows.filter(Q(changed_at__lt=at) | Q(changed_at=at, pk__lt=key))
    most = max(1, min(most, PAGE_MOST))
    rows = rows.annotate(times=Count("occurrences", filter=Q(occurrences__episode=True)))
    found = list(rows.order_by("-changed_at", "-pk")[: most + 1])
    return cut(found, most, lambda row: (row.changed_at, row.pk))


def find_problem(scope: Scope, problem: str) -> Problem | None:
    """One problem, or None."""
    return of(scope).filter(pk=problem).first()


def tickets_of(scope: Scope, problem: Problem) -> list[Ticket]:
    """All tickets of a problem's occurrences, the newest first."""
    mine = Q(alerts__findings__occurrence__problem=problem) | Q(occurrence__problem=problem)
    rows = seen(Ticket, scope).filter(mine, client=problem.client_id).select_related("assignee")
    return list(rows.distinct().order_by("-number")[:SHOWN_MOST])


def page_of(scope: Scope, problem: Problem, *, now: datetime) -> ProblemPage:
    """Everything for the page of a problem."""
    rows = seen(Occurrence, scope).filter(problem=problem)
    occurrences = list(rows.select_related("asset", "finding", "ticket").order_by("-at")[:SHOWN_MOST])
    onsets = list(rows.filter(episode=True).order_by("-at").values_list("at", flat=True)[:SHOWN_MOST])
    tickets = tickets_of(scope, problem)
    spent_on: dict[str, timedelta] = defaultdict(timedelta)
    for one in seen(Effort, scope).filter(ticket__in=tickets):
        spent_on[one.ticket_id] += (one.ended_at or now) - one.started_at
    fixes = list(seen(Fix, scope).filter(problem=problem).select_related("change").order_by("-done_at")[:50])
    last = min(onsets) if onsets else problem.opened_at
    changes = seen(Change, scope).filter(client=problem.client_id, at__gt=last)
    if problem.asset_id:
        near = Q(asset=problem.asset_id) | Q(asset__children=problem.asset_id)
        changes = changes.filter(near)
    return ProblemPage(
        problem=problem,
        occurrences=occurrences,
        times=len(onsets),
        tickets=tickets,
        spent=sum(spent_on.values(), timedelta()),
        spent_on=dict(spent_on),
        hypotheses=list(seen(Hypothesis, scope).filter(problem=problem).order_by("at")[:SHOWN_MOST]),
        suspects=seen(Suspects, scope).filter(problem=problem).order_by("-onset_at").first(),
        fixes=fixes,
        changes=list(changes.select_related("asset").distinct().order_by("-at")[:20]),
        watch=decide_watch(onsets),
        timeline=_timeline(scope, problem, occurrences, tickets, fixes),
        articles=articles_for(scope, problem.client_id, problem.key),
        kinds=_kinds(scope, problem),
    )


def _kinds(scope: Scope, problem: Problem) -> list[Kind]:
    """The fingerprints of a problem, its own first."""
    rows = seen(Occurrence, scope).filter(problem=problem).exclude(key_client="")
    counted = rows.values("key_client").annotate(times=Count("pk"), last=Max("at")).order_by("-last")
    found = []
    for one in counted[:SHOWN_MOST]:
        key = one["key_client"]
        said = rows.filter(key_client=key).order_by("-at").values_list("said", flat=True)[0]
        found.append(Kind(key, said, one["times"], one["last"], key == problem.key))
    return sorted(found, key=lambda kind: not kind.own)


def _timeline(
    scope: Scope, problem: Problem, occurrences: list[Occurrence], tickets: list[Ticket], fixes: list[Fix]
) -> list[Line]:
    """The post-mortem's timeline, from the rows: onsets, what people did, suspects, fixes."""
    lines = [Line(problem.opened_at, "problem", problem.why)]
    lines += [
        Line(one.at, "onset", one.finding.reason if one.finding else f"Reported: {one.said}")
        for one in occurrences
        if one.episode
    ]
    ranked = seen(Suspects, scope).filter(problem=problem).order_by("-onset_at")[:SHOWN_MOST]
    for one in ranked:
        if one.ranked:
            first = one.ranked[0]
            said = f"Likeliest suspect: {first['title']} ({first['share'] * 100:.0f}%)"
            lines.append(Line(one.ranked_at, "suspect", said))
    entries = seen(Entry, scope).filter(ticket__in=tickets, kind__in=("note", "status"))
    for entry in entries.select_related("ticket").order_by("-at")[:SHOWN_MOST]:
        lines.append(Line(entry.at, "ticket", f"#{entry.ticket.number}: {entry.text}"))
    for fix in fixes:
        lines.append(Line(fix.done_at, "fix", f"{fix.what} ({fix.by})"))
        if fix.came_back_at:
            lines.append(Line(fix.came_back_at, "back", f"It came back after: {fix.what}"))
        if fix.proven_at:
            lines.append(Line(fix.proven_at, "proven", f"Stayed away, so this is proven: {fix.what}"))
    return sorted(lines, key=lambda line: (line.at, line.kind, line.text))


def articles_for(scope: Scope, client: str, key: str) -> list[Article]:
    """What is known about a fingerprint of a client, the newest version first."""
    if not key:
        return []
    return list(seen(Article, scope).filter(client=client, key=key).order_by("-version")[:SHOWN_MOST])


def problem_of_ticket(scope: Scope, ticket: Ticket) -> Problem | None:
    """The problem that a ticket belongs to by its alerts, by its own report, or by its fingerprint."""
    mine = Q(occurrences__finding__alerts__tickets=ticket) | Q(occurrences__ticket=ticket)
    if ticket.fingerprint:
        mine |= Q(key=ticket.fingerprint)
    return of(scope).filter(mine, client=ticket.client_id).distinct().order_by("-changed_at").first()


def behind(scope: Scope, ticket: Ticket) -> Behind:
    """What the page of a ticket says about its problem."""
    problem = problem_of_ticket(scope, ticket)
    if problem is None:
        return Behind(None, 0, None, articles_for(scope, ticket.client_id, ticket.fingerprint))
    return Behind(
        problem=problem,
        times=seen(Occurrence, scope).filter(problem=problem, episode=True).count(),
        suspects=seen(Suspects, scope).filter(problem=problem).order_by("-onset_at").first(),
        articles=articles_for(scope, ticket.client_id, problem.key),
    )


def came_back_rates(scope: Scope) -> dict[str, list[Rate]]:
    """Decided fixes and how many came back, by technician, client, asset kind and fix, the worst first."""
    rows = seen(Fix, scope).exclude(state="on_watch").select_related("problem__asset", "client", "change")
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for fix in rows.order_by("-done_at")[:FIXES_MOST]:
        asset = fix.problem.asset
        groups = {
            "technician": fix.by,
            "client": fix.client.name,
            "kind of asset": asset.kind if asset else "none",
            "fix": (fix.change.title or fix.change.kind) if fix.change else "an action",
        }
        for name, group in groups.items():
            counts[name][group][0] += 1
            counts[name][group][1] += fix.state == "came_back"
    return {
        name: sorted((Rate(group, *both) for group, both in found.items()), key=lambda r: (-r.share, r.group))
        for name, found in counts.items()
    }


@dataclass(frozen=True, slots=True)
class Work:
    """Preventive work: a live problem with the effort that it is expected to cost in the next 90 days."""

    problem: Problem
    times: int
    spent: timedelta
    expected: timedelta
    why: str


def preventive_work(scope: Scope, *, now: datetime, most: int = 50) -> list[Work]:
    """Live problems by the effort that ending them is expected to avoid: effort a time × times of the last
    90 days. Effort is read from the tickets; a problem without any counts 15 min a time."""
    since = now - PREVENT_WITHIN
    recent = Count("occurrences", filter=Q(occurrences__episode=True, occurrences__at__gt=since))
    rows = of(scope).filter(status__in=("proposed", "open")).annotate(times=recent)
    found = []
    for problem in rows.filter(times__gt=0).order_by("-times", "-pk")[:most]:
        effort = seen(Effort, scope).filter(ticket__in=tickets_of(scope, problem))
        spent = sum(((one.ended_at or now) - one.started_at for one in effort), timedelta())
        times: int = problem.times
        expected = max(spent, EFFORT_LEAST * times)
        why = f"{times} times in 90 days, {say_duration(expected.total_seconds() / times)} of effort a time"
        found.append(Work(problem, times, spent, expected, why))
    return sorted(found, key=lambda one: (-one.expected, one.problem.pk))


def list_articles(scope: Scope, *, client: str = "", most: int = PAGE_MOST) -> list[Article]:
    """The newest version of every article, the last written first."""
    rows = seen(Article, scope).select_related("client").order_by("-at", "-version")
    if client:
        rows = rows.filter(client=client)
    newest: dict[tuple[str, str], Article] = {}
    for row in rows[: most * 10]:
        newest.setdefault((row.client_id, row.key), row)
    return list(newest.values())[:most]


def find_hypothesis(scope: Scope, hypothesis: str) -> Hypothesis | None:
    """One hypothesis, or None."""
    return seen(Hypothesis, scope).filter(pk=hypothesis).first()


def onsets_of(scope: Scope, problem: Problem, *, since: datetime) -> list[datetime]:
    """When a problem's episodes began, oldest first."""
    rows = seen(Occurrence, scope).filter(problem=problem, episode=True, at__gte=since)
    return list(rows.order_by("at").values_list("at", flat=True)[:PAGE_MOST])


def scored(scope: Scope, *, most: int = SHOWN_MOST) -> list[Expectation]:
    """What problems were expected to cost in a time that is over, with what they did, the newest first."""
    rows = seen(Expectation, scope).exclude(came_times=None).select_related("problem", "client")
    return list(rows.order_by("-until", "pk")[:most])
