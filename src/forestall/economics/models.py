"""Tables of economics: what an hour and a tool cost, and the reckoned months of clients."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Client, Identified, Person, Tenanted


class CostRate(Identified):
    """What an hour of work costs the provider from a day on: of one person or everybody (null), of one class
    or every class (""). Rows are added and withdrawn, never changed."""

    person = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    cost_class = models.CharField(max_length=16, blank=True)
    from_on = models.DateField()
    per_hour_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["-from_on", "id"]
        constraints = [
            models.UniqueConstraint(fields=["person", "cost_class", "from_on"], name="cost_rate_once"),
            models.UniqueConstraint(
                fields=["cost_class", "from_on"], condition=Q(person=None), name="cost_rate_of_all_once"
            ),
        ]


class HourlyPrice(Identified):
    """What an hour is offered for to who pays by the hour, from a day on: for the comparison alone."""

    from_on = models.DateField(unique=True)
    per_hour_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["-from_on"]


class ToolCost(Identified):
    """What a tool costs each month: per client, seat, or device of `kinds` (empty: all)."""

    name = models.CharField(max_length=160)
    basis = models.CharField(max_length=8)
    kinds = models.JSONField(default=list)
    from_on = models.DateField()
    until_on = models.DateField(null=True)
    per_month_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "from_on"]


class ClientMonth(Identified):
    """A client's month as it was reckoned (values.MonthSum). `by_agreement`: agreement → recurring fee;
    `devices`: kind → how many; `other`: currency → fees in it, which are compared with nothing."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    month = models.CharField(max_length=7)
    currency = models.CharField(max_length=3)
    recurring_minor = models.BigIntegerField()
    once_minor = models.BigIntegerField()
    work_minor = models.BigIntegerField()
    tools_minor = models.BigIntegerField()
    hourly_minor = models.BigIntegerField()
    seconds = models.BigIntegerField()
    reactive_s = models.BigIntegerField()
    out_of_hours_s = models.BigIntegerField()
    unrated_s = models.BigIntegerField()
    estimated_s = models.BigIntegerField()
    estimated_minor = models.BigIntegerField()
    tickets = models.PositiveIntegerField()
    repeats = models.PositiveIntegerField()
    endpoint_months = models.PositiveIntegerField()
    by_agreement = models.JSONField(default=dict)
    devices = models.JSONField(default=dict)
    other = models.JSONField(default=dict)
    reckoned_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "month"], name="client_month_once")]
        indexes = [models.Index(fields=["month", "client"], name="client_month_by_month")]


class WorkMonth(Identified):
    """Work of a client's month by kind of asset, rule, person and class: exact seconds, cost rounded once."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    month = models.CharField(max_length=7)
    kind = models.CharField(max_length=32, blank=True)
    rule = models.CharField(max_length=80, blank=True)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    cost_class = models.CharField(max_length=16)
    reactive = models.BooleanField()
    seconds = models.BigIntegerField()
    cost_minor = models.BigIntegerField()
    hourly_minor = models.BigIntegerField()
    unrated_s = models.BigIntegerField()

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["client", "month"], name="work_month_client"),
            models.Index(fields=["month", "rule"], condition=~Q(rule=""), name="work_month_rule"),
        ]


class RuleMonth(Identified):
    """Alerts of a rule at a client in a month: how many, how many were told, how many led to an action."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    month = models.CharField(max_length=7)
    rule = models.CharField(max_length=80)
    alerts = models.PositiveIntegerField()
    told = models.PositiveIntegerField()
    acted = models.PositiveIntegerField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "month", "rule"], name="rule_month_once")]
        indexes = [models.Index(fields=["month", "rule"], name="rule_month_by_month")]
