"""Writes of problems by people: open, decide, name the cause, fix on watch, join and part, write down."""

from datetime import datetime

from django.db import transaction
from django.db.models import Max

from forestall.configs.models import Change
from forestall.estate.models import Client
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.problems.decide import decide_watch
from forestall.problems.models import Article, Fix, Hypothesis, Occurrence, Problem, Same
from forestall.problems.queries import problem_of_ticket
from forestall.problems.rounds import families_of, journal, place_again, take_ticket
from forestall.problems.suspecting import suspect
from forestall.problems.values import HYPOTHESIS_STATES
from forestall.tickets.models import Ticket

TEXT_MAX = 20_000
HYPOTHESES_MOST = 100


def open_problem(scope: Scope, *, ticket: str, title: str = "", now: datetime) -> Problem:
    """A problem that a person opens from a ticket; the one that is there already when its trouble has one."""
    row = seen(Ticket, scope).select_related("asset").get(pk=ticket)
    if not row.fingerprint:  # it is so young that the round has not seen it yet
        take_ticket(row, now=now)
        row.refresh_from_db(fields=["fingerprint"])
    family = families_of(row.client_id).of(row.fingerprint) if row.fingerprint else frozenset()
    with transaction.atomic():
        found = seen(Problem, scope).filter(client=row.client_id, key__in=family).first()
        found = found or problem_of_ticket(scope, row)
        if found is not None:
            if found.status in {"proposed", "dismissed"}:
                set_status(scope, found.pk, status="open", now=now)
            return seen(Problem, scope).get(pk=found.pk)
        problem = Problem.objects.create(
            client_id=row.client_id,
            asset_id=row.asset_id,
            key=row.fingerprint,
            title=(title.strip() or row.title)[:300],
            status="open",
            why=f"Opened by hand from ticket #{row.number}.",
            opened_at=now,
            opened_by=scope.actor,
            changed_at=now,
        )
        if family:
            mine = seen(Occurrence, scope).filter(client=row.client_id, key_client__in=family)
            mine.update(problem=problem)
            last = mine.filter(episode=True).order_by("-at").first()
            if last is not None:
                suspect(problem, last, now=now)
        else:  # nothing in it says how it would be recognised again: this ticket alone belongs to the problem
            Occurrence.objects.update_or_create(
                ticket=row,
                defaults={
                    "client_id": row.client_id,
                    "asset_id": row.asset_id,
                    "said": row.title[:300],
                    "at": row.opened_at,
                    "problem": problem,
                },
            )
        journal("problem.opened", problem, actor=scope.actor, now=now, more={"ticket": row.pk})
    return problem


def set_status(scope: Scope, problem: str, *, status: str, now: datetime) -> Problem:
    """Take a proposal (open) or put it aside (dismissed). Raises Trouble for another status."""
    if status not in {"open", "dismissed"}:
        raise Trouble(
            f"a problem is not set to {status!r} by hand", "Choose open or dismissed, or name a fix."
        )
    with transaction.atomic():
        row = _locked(scope, problem)
        was, row.status = row.status, status
        row.closed_at = now if status == "dismissed" else None
        _save(row, now)
        journal("problem.changed", row, actor=scope.actor, now=now, more={"was": was})
    return row


def describe(
    scope: Scope,
    problem: str,
    *,
    root_cause: str | None = None,
    workaround: str | None = None,
    lesson: str | None = None,
    now: datetime,
) -> Problem:
    """Root cause, workaround (with one it is a known error) and lesson; None leaves one as it is. Raises
    Trouble for one that is too long."""
    given = {"root_cause": root_cause, "workaround": workaround, "lesson": lesson}
    with transaction.atomic():
        row = _locked(scope, problem)
        for name, text in given.items():
            if text is not None:
                setattr(row, name, _text(text))
        row.known_error = bool(row.root_cause and row.workaround)
        _save(row, now)
        more: dict[str, object] = {"wrote": sorted(name for name, text in given.items() if text is not None)}
        journal("problem.described", row, actor=scope.actor, now=now, more=more)
    return row


def add_hypothesis(scope: Scope, problem: str, *, text: str, now: datetime) -> Hypothesis:
    """What somebody thinks is behind it. Raises Trouble for nothing, and for too many."""
    if not text.strip():
        raise Trouble("a hypothesis needs some words", "Write what you think is behind it.")
    with transaction.atomic():
        row = _locked(scope, problem)
        if row.hypotheses.count() >= HYPOTHESES_MOST:
            raise Trouble(f"there are {HYPOTHESES_MOST} hypotheses already", "Decide about some of them.")
        made = Hypothesis.objects.create(
            client_id=row.client_id, problem=row, text=text.strip()[:1000], by=scope.actor, at=now
        )
        _save(row, now)
        journal("problem.hypothesis", row, actor=scope.actor, now=now, more={"hypothesis": made.pk})
    return made


def decide_hypothesis(scope: Scope, hypothesis: str, *, state: str, now: datetime) -> Hypothesis:
    """Confirm or refute one. Raises Trouble for another state."""
    if state not in HYPOTHESIS_STATES:
        raise Trouble(f"there is no state {state!r}", f"Choose one of {', '.join(HYPOTHESIS_STATES)}.")
    with transaction.atomic():
        found = seen(Hypothesis, scope).select_for_update().get(pk=hypothesis)
        found.state = state
        found.save(update_fields=["state"])
        row = _locked(scope, found.problem_id)
        _save(row, now)
        journal(
            "problem.hypothesis", row, actor=scope.actor, now=now, more={"hypothesis": found.pk, "to": state}
        )
    return found


def fix_problem(
    scope: Scope,
    problem: str,
    *,
    what: str = "",
    change: str = "",
    done_at: datetime | None = None,
    now: datetime,
) -> Fix:
    """Name the fix, a change that the system saw or an action (what was done, and when), and begin the watch.
    Raises Trouble when there is neither, or when the time lies ahead."""
    with transaction.atomic():
        row = _locked(scope, problem)
        if row.status == "on_watch":
            raise Trouble("a fix is on watch already", "Wait for its end, or for the trouble to come back.")
        seen_change = seen(Change, scope).get(pk=change, client_id=row.client_id) if change else None
        at = seen_change.at if seen_change else (done_at or now)
        text = what.strip() or (f"{seen_change.title}: {seen_change.summary}" if seen_change else "")
        if not text:
            raise Trouble("a fix needs a name", "Choose the change that is the fix, or write what was done.")
        if at > now:
            raise Trouble("the fix lies ahead", "Give the time when it was done.")
        onsets = row.occurrences.filter(episode=True).values_list("at", flat=True)
        watch = decide_watch(list(onsets.order_by("-at")[:200]))
        fix = Fix.objects.create(
            client_id=row.client_id,
            problem=row,
            change=seen_change,
            what=text[:300],
            by=scope.actor,
            done_at=at,
            watch_until=at + watch.lasts,
            because=watch.because[:500],
            state="on_watch",
        )
        row.status, row.closed_at = "on_watch", None
        _save(row, now)
        more: dict[str, object] = {"fix": fix.pk, "watch_until": fix.watch_until.isoformat()}
        journal("problem.fixed", row, actor=scope.actor, now=now, more=more)
    return fix


def join_ticket(scope: Scope, problem: str, *, number: str, now: datetime) -> Same:
    """A ticket is the trouble of this problem, and what is like it will be from now on. Raises
    Trouble for a number that no ticket of the client has, or one that cannot be recognised again."""
    row = seen(Problem, scope).get(pk=problem)
    asked = number.strip().lstrip("#")
    tickets = seen(Ticket, scope).filter(client=row.client_id).select_related("asset")
    ticket = tickets.filter(number=int(asked)).first() if asked.isascii() and asked.isdigit() else None
    if ticket is None:
        raise Trouble(f"no ticket of this client is #{asked or '?'}", "Write the number of one, such as #12.")
    if not ticket.fingerprint:
        take_ticket(ticket, now=now)
        ticket.refresh_from_db(fields=["fingerprint"])
    if not row.key or not ticket.fingerprint:
        raise Trouble(
            "nothing in it says how it would be recognised again", "Write on its timeline that they belong."
        )
    return say_same(scope, client=row.client_id, left=row.key, right=ticket.fingerprint, same=True, now=now)


def part_kind(scope: Scope, problem: str, *, key: str, now: datetime) -> Same:
    """What has that fingerprint is not this trouble, nor will be. Raises Trouble for the problem's own."""
    row = seen(Problem, scope).get(pk=problem)
    return say_same(scope, client=row.client_id, left=row.key, right=key, same=False, now=now)


def say_same(scope: Scope, *, client: str, left: str, right: str, same: bool, now: datetime) -> Same:
    """Join two fingerprints of a client, or part them. Raises Trouble for one that nothing has."""
    Client.objects.all().of(scope).get(pk=client)
    mine = seen(Occurrence, scope).filter(client=client)
    for key in (left, right):
        if not key or not mine.filter(key_client=key).exists():
            raise Trouble("nothing of this client has that fingerprint", "Choose one that is listed.")
    if left == right:
        raise Trouble("these are one fingerprint", "Choose two that differ.")
    with transaction.atomic():
        row = Same.objects.create(client_id=client, left=left, right=right, same=same, at=now, by=scope.actor)
        append(
            "problem.joined" if same else "problem.parted", actor=scope.actor, at=now, client=client,
            subject=row.pk, body={"left": left, "right": right},
        )  # fmt: skip
        if not same:
            _part(scope, client)
        place_again(client, (left, right), now=now)
    return row


def _part(scope: Scope, client: str) -> None:
    """Occurrences leave a problem whose family they are no longer of."""
    families = families_of(client)
    for problem in seen(Problem, scope).filter(client=client).exclude(key=""):
        family = families.of(problem.key)
        rows = seen(Occurrence, scope).filter(client=client, problem=problem)
        rows.exclude(key_client__in=family).update(problem=None)


def write_article(scope: Scope, *, client: str, key: str, title: str, text: str, now: datetime) -> Article:
    """The next version of what is known about a fingerprint. Raises Trouble for an empty one."""
    Client.objects.all().of(scope).get(pk=client)
    if not key or not title.strip() or not text.strip():
        raise Trouble(
            "an article needs a fingerprint, a title and a text", "Write what helped, in a few lines."
        )
    with transaction.atomic():
        rows = seen(Article, scope).filter(client=client, key=key)
        newest = rows.aggregate(newest=Max("version"))["newest"] or 0
        return Article.objects.create(
            client_id=client,
            key=key,
            title=title.strip()[:200],
            text=_text(text),
            version=newest + 1,
            by=scope.actor,
            at=now,
        )


def _locked(scope: Scope, problem: str) -> Problem:
    return seen(Problem, scope).select_for_update(of=("self",)).get(pk=problem)


def _save(row: Problem, now: datetime) -> None:
    row.changed_at = now
    row.save()


def _text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise Trouble(f"a text has at most {TEXT_MAX} characters", "Shorten it.")
    return text.strip()
