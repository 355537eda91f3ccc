"""Tables that set up the desk: queues, service levels, templates, recurring tickets, saved views."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Identified, Person, Tenanted


class Queue(Identified):
    """A pile of tickets that some people work on. The provider's, for all clients."""

    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField(default=0)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(retired_at=None), name="queue_name")
        ]

    def __str__(self) -> str:
        return self.name


class ServiceLevel(Identified):
    """How fast we answer and solve: the provider's default (`client` null), or one client's own.

    `hours`: seven lists, Monday first, of [begin, end] in minutes of the local day. `targets`: by priority
    ("1" to "4") [first response, resolution] in seconds of business time, null for none.
    """

    client = models.ForeignKey(
        Client, null=True, blank=True, on_delete=models.CASCADE, related_name="service_levels"
    )
    name = models.CharField(max_length=80)
    timezone = models.CharField(max_length=64, default="UTC")
    hours = models.JSONField(default=list)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166; "" for no holidays
    subdivision = models.CharField(max_length=8, blank=True)
    targets = models.JSONField(default=dict)
    warn_percent = models.PositiveSmallIntegerField(default=75)  # told when this much of the budget is used
    made_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)  # tickets that have it keep it

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["client"], condition=Q(retired_at=None), name="service_level_client"
            ),
            models.UniqueConstraint(
                models.Value(1), condition=Q(client=None, retired_at=None), name="service_level_default"
            ),
        ]


class Template(Identified):
    """How tickets of a sort begin: title, words, priority, checklist. The provider's or one client's."""

    client = models.ForeignKey(Client, null=True, blank=True, on_delete=models.CASCADE)
    name = models.CharField(max_length=80)
    title = models.CharField(max_length=300)
    text = models.TextField(blank=True)
    reply = models.TextField(blank=True)
    impact = models.PositiveSmallIntegerField(default=3)
    urgency = models.PositiveSmallIntegerField(default=3)
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.SET_NULL)
    checklist = models.JSONField(default=list, blank=True)  # lines
    tags = models.JSONField(default=list, blank=True)
    retired_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["client", "name"], condition=Q(retired_at=None), name="template_name"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(client=None, retired_at=None), name="template_name_of_all"
            ),
        ]


class Recurring(Identified):
    """A ticket that is opened again and again from a template: every `every` (day, week, month) at the
    client's local time of `next_at`."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="recurring_tickets")
    template = models.ForeignKey(Template, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.SET_NULL)
    every = models.CharField(max_length=8)
    first_at = models.DateTimeField()
    next_at = models.DateTimeField()
    made = models.PositiveIntegerField(default=0)  # tickets so far
    ended_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [models.Index(fields=["next_at"], condition=Q(ended_at=None), name="recurring_due")]


class SavedView(Identified):
    """Filters of the ticket list under a name, of one person. `filters` as the address has them."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=80)
    filters = models.CharField(max_length=500)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="saved_view_name")]
