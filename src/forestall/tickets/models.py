"""Tables of tickets: work for a person, its timeline, its effort."""

from django.db import models
from django.db.models import Q

from forestall.alerts.models import Alert
from forestall.estate.models import Asset, Client, Identified, Person, Tenanted


class Ticket(Identified):
    """Work for a person. A cause has at most one open ticket; more occurrences are counted on it."""

    number = models.PositiveIntegerField(unique=True)
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="tickets")
    asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets")
    alerts = models.ManyToManyField(Alert, through="Link", related_name="tickets", blank=True)
    cause_key = models.CharField(max_length=300, blank=True)
    title = models.CharField(max_length=300)
    status = models.CharField(max_length=16)  # open, in_progress, waiting, resolved, closed
    priority = models.PositiveSmallIntegerField(default=3)  # 1 (now) to 4 (whenever)
    assignee = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="tickets"
    )
    occurrences = models.PositiveIntegerField(default=1)
    touched_at = models.DateTimeField(null=True)  # when a person first did something on it
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

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
    kind = models.CharField(max_length=16)  # opened, note, status, assigned, occurrence, recovered, effort
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

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person"], condition=Q(ended_at=None), name="effort_one_timer")
        ]
