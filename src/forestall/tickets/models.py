"""Tables of tickets: work for a person, its timeline, its effort. What the desk sets up (queues, service
levels, templates, recurring work, saved views) stands in `desk_models.py`."""

from django.db import models
from django.db.models import Q

from forestall.alerts.models import Alert
from forestall.estate.models import Asset, Client, Contact, Identified, Person, Tenanted
from forestall.tickets.desk_models import Queue, Recurring, SavedView, ServiceLevel, Template
from forestall.tickets.values import INTERNAL

__all__ = [
    "ChecklistItem",
    "ClockNotice",
    "Effort",
    "Entry",
    "Link",
    "Looking",
    "Mention",
    "Queue",
    "Recurring",
    "SavedView",
    "SearchText",
    "ServiceLevel",
    "Template",
    "Ticket",
]


class Ticket(Identified):
    """Work for a person. A cause has at most one open ticket; more occurrences are counted on it."""

    number = models.PositiveIntegerField(unique=True)
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="tickets")
    asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets")
    alerts = models.ManyToManyField(Alert, through="Link", related_name="tickets", blank=True)
    assets = models.ManyToManyField(Asset, related_name="linked_tickets", blank=True)  # besides `asset`
    reporter = models.ForeignKey(
        Contact, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets"
    )
    came_by = models.CharField(max_length=16, default="hand")  # values.CAME_BY
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets")
    cause_key = models.CharField(max_length=300, blank=True)
    fingerprint = models.CharField(max_length=120, blank=True)  # written by the room of problems
    title = models.CharField(max_length=300)
    status = models.CharField(max_length=16)  # open, in_progress, waiting, resolved, closed
    impact = models.PositiveSmallIntegerField(null=True)  # 1 (the whole client) to 3 (one person)
    urgency = models.PositiveSmallIntegerField(null=True)  # 1 (nobody can work) to 3 (can wait)
    priority = models.PositiveSmallIntegerField(default=3)  # 1 (now) to 4 (whenever)
    tags = models.JSONField(default=list, blank=True)
    assignee = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets"
    )
    occurrences = models.PositiveIntegerField(default=1)
    touched_at = models.DateTimeField(null=True)  # when a person first did something on it
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="merged"
    )
    split_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="parts"
    )
    # The clock of its service level (sla.py). While it is paused, the due times are null and `…_left_s` keep
    # what is left of the budget; `look_at` is when the rounds have to look at it next.
    service_level = models.ForeignKey(ServiceLevel, null=True, blank=True, on_delete=models.SET_NULL)
    first_due_at = models.DateTimeField(null=True)
    first_done_at = models.DateTimeField(null=True)
    first_left_s = models.PositiveIntegerField(null=True)
    solve_due_at = models.DateTimeField(null=True)
    solved_at = models.DateTimeField(null=True)
    solve_left_s = models.PositiveIntegerField(null=True)
    paused_at = models.DateTimeField(null=True)
    look_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cause_key"], condition=Q(closed_at=None) & ~Q(cause_key=""), name="ticket_open_once"
            )
        ]
        indexes = [
            models.Index(fields=["priority", "-changed_at"], condition=Q(closed_at=None), name="ticket_open"),
            models.Index(fields=["client", "-opened_at"], name="ticket_client"),
            models.Index(fields=["priority", "-number"], condition=Q(closed_at=None), name="ticket_queue"),
            models.Index(fields=["priority", "-number"], name="ticket_all"),
            models.Index(fields=["assignee", "status"], name="ticket_assignee"),
            models.Index(
                fields=["fingerprint", "-opened_at"], condition=~Q(fingerprint=""), name="ticket_print"
            ),
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="ticket_look"),
        ]


class Link(Identified):
    """One occurrence of an alert, on the ticket that it is worked on with."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="links")
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="links")
    occurrence = models.PositiveIntegerField()
    at = models.DateTimeField()
    recovered_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alert", "occurrence"], name="link_once")]
        indexes = [models.Index(fields=["alert"], condition=Q(recovered_at=None), name="link_open")]


class Entry(Identified):
    """A line of a ticket's timeline."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="entries")
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    kind = models.CharField(max_length=16)  # values.KINDS
    visibility = models.CharField(max_length=8, default=INTERNAL)  # internal, client, system
    direction = models.CharField(max_length=3, blank=True)  # in, out: a mail or a word of the portal
    message_id = models.CharField(max_length=255, blank=True)
    text = models.TextField(blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [models.Index(fields=["ticket", "at"], name="ticket_entry")]


class Effort(Identified):
    """Time that a person spent on a ticket: cost, never a line of an invoice. `ended_at` null: running."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="effort")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="effort")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    cost_class = models.CharField(max_length=16, default="remote")  # values.COST_CLASSES
    by_hand = models.BooleanField(default=False)
    note = models.CharField(max_length=300, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person"], condition=Q(ended_at=None), name="effort_one_timer")
        ]


class ChecklistItem(Identified):
    """Something to do on a ticket, and who did it."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="checklist")
    position = models.PositiveSmallIntegerField()
    text = models.CharField(max_length=300)
    done_at = models.DateTimeField(null=True)
    done_by = models.CharField(max_length=160, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["position", "id"]


class Mention(Identified):
    """A person who was named (`@name`) on a ticket, until they looked."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="mentions")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="mentions")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="mentions")
    at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry", "person"], name="mention_once")]
        indexes = [models.Index(fields=["person"], condition=Q(seen_at=None), name="mention_new")]


class Looking(Identified):
    """Who has the page of a ticket open, by the last time their browser said so."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="looking")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="looking")
    at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ticket", "person"], name="looking_once")]


class ClockNotice(Identified):
    """What a service level's clock told: once for each kind and try at the target. Sent over channels."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="notices")
    what = models.CharField(max_length=16)  # first_soon, first_late, solve_soon, solve_late
    at = models.DateTimeField()
    text = models.TextField()
    state = models.CharField(max_length=16, default="due")  # due, sent, given_up
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    reached = models.JSONField(default=list)  # identifiers of the channels that took it
    error = models.CharField(max_length=500, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ticket", "what"], name="clock_notice_once")]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="due"), name="clock_notice_due")]


class SearchText(models.Model):
    """The words of a ticket, indexed by the database's own full-text search (migration 0002). `words`
    begins with the number and the title."""

    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, related_name="search_text")
    client = models.ForeignKey(Client, on_delete=models.PROTECT)
    words = models.TextField()

    objects = Tenanted.as_manager()
