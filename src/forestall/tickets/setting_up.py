"""Setting up the desk: queues, service levels, templates, recurring tickets. What is wrong is said by field
(`Wrong.fields`), so that a form can show it where it was written. What is for all clients is kept only by who
sees all clients."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction

from forestall.estate.models import Asset, Client
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.tickets import desk_queries
from forestall.tickets.clock import DAY_MINUTES, STEPS, known_country
from forestall.tickets.decide import PRIORITIES
from forestall.tickets.models import Queue, Recurring, ServiceLevel, Template, Ticket
from forestall.tickets.opening import CHECKLIST_MOST, TEXT_MAX_CHARS, tidy_tags

QUEUES_MOST = 50
TEMPLATES_MOST = 200
SPANS_MOST = 6  # of one day
BUDGET_MAX_S = 366 * 86_400
NAME_MAX_CHARS = 80
TITLE_MAX_CHARS = 300


class Wrong(Trouble):
    """What was given cannot be; `fields`: name of the field → what is wrong and what to write."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = dict(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTerms:
    """What a service level promises, as the row has it (desk_models.ServiceLevel)."""

    name: str
    timezone: str = "UTC"
    hours: Sequence[Sequence[Sequence[int]]] = field(default_factory=list)
    country: str = ""
    subdivision: str = ""
    targets: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    warn_percent: int = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateTerms:
    """How tickets of a sort begin; `queue` is an identifier or None."""

    name: str
    title: str
    text: str = ""
    reply: str = ""
    impact: int = 3
    urgency: int = 3
    queue: str | None = None
    checklist: Sequence[str] = ()
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringTerms:
    """What opens when: identifiers of template and asset, `every` a word of clock.STEPS."""

    template: str
    every: str
    next_at: datetime
    asset: str | None = None


def keep_queue(scope: Scope, *, name: str, position: int = 0, queue: str = "", now: datetime) -> Queue:
    """A new queue, or another name and place for one. Raises Wrong, Queue.DoesNotExist."""
    _for_all(scope)
    wrong = _name_wrong(name)
    others = Queue.objects.filter(retired_at=None).exclude(pk=queue)
    if not wrong and others.filter(name__iexact=name.strip()).exists():
        wrong["name"] = "There is a queue of this name. Choose another name."
    if not 0 <= position <= 999:
        wrong["position"] = "Write a number from 0 to 999; the smallest stands first."
    if not queue and others.count() >= QUEUES_MOST:
        wrong["name"] = f"There are {QUEUES_MOST} queues, more cannot be. Retire one first."
    _raise(wrong)
    with transaction.atomic():
        row = Queue.objects.get(pk=queue, retired_at=None) if queue else Queue()
        row.name, row.position = name.strip(), position
        row.save()
        _journal(scope, "desk.queue", row.pk, now, client="", body={"name": row.name, "position": position})
    return row


def retire_queue(scope: Scope, queue: str, *, now: datetime) -> None:
    """Nothing goes into it any more. Raises Trouble while open tickets lie in it."""
    _for_all(scope)
    with transaction.atomic():
        row = Queue.objects.select_for_update().get(pk=queue, retired_at=None)
        lying = every(Ticket).filter(queue=row, closed_at=None).count()
        if lying:
            what = f"{lying} open tickets lie in the queue {row.name}"
            raise Trouble(what, "Move them first, from the list of tickets.")
        every(Template).filter(queue=row).update(queue=None)
        row.retired_at = now
        row.save(update_fields=["retired_at"])
        _journal(scope, "desk.queue", row.pk, now, client="", body={"name": row.name, "retired": True})


def keep_level(
    scope: Scope, terms: LevelTerms, *, client: str = "", level: str = "", now: datetime
) -> ServiceLevel:
    """A service level of a client ("" for the provider's default), or other terms for one (`client` stays
    then). Tickets that are open follow other terms from their next change on. Raises Wrong, DoesNotExist."""
    wrong = level_wrong(terms)
    with transaction.atomic():
        if level:
            row = desk_queries.get_level(scope, level)
        else:
            owner = Client.objects.all().of(scope).get(pk=client) if client else None
            row = ServiceLevel(client=owner, made_at=now)
            if every(ServiceLevel).filter(client=owner, retired_at=None).exists():
                whose = owner.name if owner else "All clients"
                wrong["client"] = f"{whose} has a service level. Change that one, or retire it first."
        if row.client_id is None:
            _for_all(scope)
        _raise(wrong)
        kept = asdict(terms) | {"name": terms.name.strip()}
        for name, value in kept.items():
            setattr(row, name, value)
        row.save()
        _journal(scope, "desk.service_level", row.pk, now, client=row.client_id or "", body=kept)
    return row


def retire_level(scope: Scope, level: str, *, now: datetime) -> None:
    """New tickets have it no more; those that have it keep it until they are done. Raises DoesNotExist."""
    with transaction.atomic():
        row = desk_queries.get_level(scope, level)
        if row.client_id is None:
            _for_all(scope)
        row.retired_at = now
        row.save(update_fields=["retired_at"])
        body = {"name": row.name, "retired": True}
        _journal(scope, "desk.service_level", row.pk, now, client=row.client_id or "", body=body)


def level_wrong(terms: LevelTerms) -> dict[str, str]:
    """What is wrong with them, by field: `hours_0` (Monday) to `hours_6`, `first_1` to `solve_4`."""
    wrong = _name_wrong(terms.name)
    try:
        ZoneInfo(terms.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder
        wrong["timezone"] = "No such time zone. Write one as Europe/Berlin."
    if len(terms.hours) != len(("mon", "tue", "wed", "thu", "fri", "sat", "sun")):
        wrong["hours"] = "Seven days are needed, Monday first."
    for at, day in enumerate(terms.hours):
        if text := _day_wrong(day):
            wrong[f"hours_{at}"] = text
    if not wrong and not any(terms.hours):
        wrong["hours_0"] = "No day has business hours, so nothing would ever be due. Write some."
    if terms.subdivision and not terms.country:
        wrong["country"] = "A part of a country needs its country. Write its two letters, as DE."
    elif terms.country and not known_country(terms.country):
        wrong["country"] = "The holidays of this country are not known. Write two letters, as DE, or nothing."
    elif terms.country and not known_country(terms.country, terms.subdivision):
        wrong["subdivision"] = f"No such part of {terms.country} is known. Write one as BY, or nothing."
    if not 1 <= terms.warn_percent <= 99:
        wrong["warn_percent"] = "Write 1 to 99: told when so much of the time is used."
    for priority, both in terms.targets.items():
        if priority not in {str(one) for one in PRIORITIES} or len(both) != 2:
            wrong["targets"] = "Two times for each priority from 1 to 4: first response, resolution."
            continue
        first, solve = both
        for name, value in (("first", first), ("solve", solve)):
            if value is not None and not 60 <= value <= BUDGET_MAX_S:
                wrong[f"{name}_{priority}"] = "Write 1 minute to 366 days of business time."
        if first is not None and solve is not None and first > solve:
            wrong[f"solve_{priority}"] = "The resolution cannot be due before the first response."
    if not any(value for both in terms.targets.values() for value in both):
        wrong["first_1"] = "Nothing is promised. Write at least one time."
    return wrong


def keep_template(
    scope: Scope, terms: TemplateTerms, *, client: str = "", template: str = "", now: datetime
) -> Template:
    """A template of a client ("" for all), or other terms for one (`client` stays then). Raises Wrong,
    DoesNotExist."""
    wrong = _template_wrong(terms)
    with transaction.atomic():
        if template:
            row = desk_queries.get_template(scope, template)
        else:
            row = Template(client=Client.objects.all().of(scope).get(pk=client) if client else None)
        if row.client_id is None:
            _for_all(scope)
        others = every(Template).filter(client=row.client, retired_at=None).exclude(pk=row.pk)
        if "name" not in wrong and others.filter(name=terms.name.strip()).exists():
            wrong["name"] = "There is a template of this name. Choose another name."
        if not template and others.count() >= TEMPLATES_MOST:
            wrong["name"] = f"There are {TEMPLATES_MOST} templates, more cannot be. Retire one first."
        _raise(wrong)
        row.queue = Queue.objects.get(pk=terms.queue, retired_at=None) if terms.queue else None
        row.name, row.title = terms.name.strip(), terms.title.strip()
        row.text, row.reply = terms.text.strip(), terms.reply.strip()
        row.impact, row.urgency = terms.impact, terms.urgency
        row.checklist = [line.strip() for line in terms.checklist if line.strip()]
        row.tags = tidy_tags(terms.tags)
        row.save()
        body = {"name": row.name, "title": row.title, "checklist": len(row.checklist)}
        _journal(scope, "desk.template", row.pk, now, client=row.client_id or "", body=body)
    return row


def retire_template(scope: Scope, template: str, *, now: datetime) -> None:
    """It is offered no more. Raises Trouble while recurring tickets are opened from it."""
    with transaction.atomic():
        row = desk_queries.get_template(scope, template)
        if row.client_id is None:
            _for_all(scope)
        used = every(Recurring).filter(template=row, ended_at=None).count()
        if used:
            raise Trouble(f"{used} recurring tickets are opened from {row.name}", "End them first.")
        row.retired_at = now
        row.save(update_fields=["retired_at"])
        body = {"name": row.name, "retired": True}
        _journal(scope, "desk.template", row.pk, now, client=row.client_id or "", body=body)


def keep_recurring(
    scope: Scope, terms: RecurringTerms, *, client: str = "", recurring: str = "", now: datetime
) -> Recurring:
    """A ticket that opens again and again at a client, or other terms for one (`client` stays then). Raises
    Wrong, DoesNotExist."""
    wrong: dict[str, str] = {}
    if terms.every not in STEPS:
        wrong["every"] = f"Choose one of {', '.join(STEPS)}."
    if terms.next_at <= now:
        wrong["next_at"] = "This is over. Choose a time to come."
    with transaction.atomic():
        if recurring:
            row = desk_queries.get_recurring(scope, recurring)
        else:
            row = Recurring(client=Client.objects.all().of(scope).get(pk=client))
        template = desk_queries.list_templates(scope).filter(pk=terms.template).first()
        if template is None or template.client_id not in (None, row.client_id):
            wrong["ticket_template"] = "Choose a template for all clients, or one of this client."
        asset = seen(Asset, scope).get(pk=terms.asset, client=row.client) if terms.asset else None
        _raise(wrong)
        assert template is not None
        row.template, row.asset, row.every = template, asset, terms.every
        row.first_at = row.next_at = terms.next_at
        row.save()
        body = {"template": template.pk, "every": row.every, "next_at": row.next_at.isoformat()}
        _journal(scope, "desk.recurring", row.pk, now, client=row.client_id, body=body)
    return row


def end_recurring(scope: Scope, recurring: str, *, now: datetime) -> None:
    """It opens no more tickets. Raises DoesNotExist."""
    with transaction.atomic():
        row = desk_queries.get_recurring(scope, recurring)
        row.ended_at = now
        row.save(update_fields=["ended_at"])
        _journal(scope, "desk.recurring", row.pk, now, client=row.client_id, body={"ended": True})


def _template_wrong(terms: TemplateTerms) -> dict[str, str]:
    wrong = _name_wrong(terms.name)
    if not terms.title.strip():
        wrong["title"] = "Write in one line what tickets of this sort are about."
    elif len(terms.title) > TITLE_MAX_CHARS:
        wrong["title"] = f"At most {TITLE_MAX_CHARS} characters."
    for name, text in (("text", terms.text), ("reply", terms.reply)):
        if len(text) > TEXT_MAX_CHARS:
            wrong[name] = f"At most {TEXT_MAX_CHARS} characters."
    for name, value in (("impact", terms.impact), ("urgency", terms.urgency)):
        if value not in (1, 2, 3):
            wrong[name] = "Choose 1 to 3."
    if len(terms.checklist) > CHECKLIST_MOST:
        wrong["checklist"] = f"At most {CHECKLIST_MOST} lines."
    elif any(len(line) > TITLE_MAX_CHARS for line in terms.checklist):
        wrong["checklist"] = f"A line has at most {TITLE_MAX_CHARS} characters."
    return wrong


def _day_wrong(day: Sequence[Sequence[int]]) -> str:
    if len(day) > SPANS_MOST:
        return f"At most {SPANS_MOST} times a day."
    end_before = -1
    for span in day:
        if len(span) != 2 or not 0 <= span[0] < span[1] <= DAY_MINUTES:
            return "Write from and to as 08:00-12:00, within one day."
        if span[0] <= end_before:
            return "These times touch or overlap. Write them in order, apart from one another."
        end_before = span[1]
    return ""


def _name_wrong(name: str) -> dict[str, str]:
    if not name.strip():
        return {"name": "A name is needed."}
    return {"name": f"At most {NAME_MAX_CHARS} characters."} if len(name.strip()) > NAME_MAX_CHARS else {}


def _raise(wrong: Mapping[str, str]) -> None:
    if wrong:
        raise Wrong(wrong)


def _for_all(scope: Scope) -> None:
    if not scope.everything:
        raise Trouble("this is for all clients, and you see only some", "Ask somebody who sees all of them.")


def _journal(
    scope: Scope, kind: str, subject: str, now: datetime, *, client: str, body: dict[str, Any]
) -> None:
    append(kind, client=client, subject=subject, actor=scope.actor, at=now, body=body)
