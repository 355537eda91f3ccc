"""Tables of findings: where a rule and an asset disagree, and how specs are overridden."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Identified, Site, Tenanted
from forestall.judge.values import State

OPEN = Q(ended_at=None)


class Finding(Identified):
    """A rule and an asset that disagree, from `began_at` to `ended_at` (null: now)."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="findings")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="findings")
    rule = models.CharField(max_length=80)
    item = models.CharField(max_length=256, blank=True)
    pack = models.CharField(max_length=80)
    pack_version = models.CharField(max_length=64)
    metric = models.CharField(max_length=128, blank=True)
    state = models.CharField(max_length=16, choices=[(state.value, state.value) for state in State])
    worst = models.CharField(max_length=16)
    concern = models.PositiveSmallIntegerField()  # State.concern of `state`, for ordering
    cause = models.CharField(max_length=32, blank=True)
    tells = models.BooleanField(default=True)  # whether it may become an alert (drifting may not)
    began_at = models.DateTimeField()
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    reason = models.TextField()
    why = models.TextField(blank=True)
    first_step = models.TextField(blank=True)
    numbers = models.JSONField(default=dict)
    answer = models.TextField(blank=True)
    recovery = models.TextField(blank=True)  # the reason of its end

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["asset", "rule", "item"], condition=OPEN, name="finding_open_once"
            ),
            models.UniqueConstraint(fields=["asset", "rule", "item", "began_at"], name="finding_began"),
        ]
        indexes = [
            models.Index(fields=["client", "-concern"], condition=OPEN, name="finding_open_client"),
            models.Index(fields=["-concern", "began_at"], condition=OPEN, name="finding_open_worst"),
            models.Index(fields=["asset", "-began_at"], name="finding_asset"),
            models.Index(fields=["worst", "-ended_at"], name="finding_ended"),
        ]


class Step(Identified):
    """A transition that was applied to a finding: its history, and what makes a replay harmless.

    `key` is the SHA-256 of the transition's identity (place, at_ms, to).
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=16)
    at = models.DateTimeField()
    reason = models.TextField()

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [models.Index(fields=["finding", "at"], name="step_history")]


class Override(Identified):
    """Other settings for a rule, at a client, a site or an asset (the narrowest wins); `off` silences it."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="overrides")
    site = models.ForeignKey(Site, null=True, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, on_delete=models.CASCADE, related_name="overrides")
    rule = models.CharField(max_length=80)
    settings = models.JSONField(default=dict)
    because = models.CharField(max_length=300)
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["client", "rule"], condition=Q(site=None, asset=None), name="override_of_client"
            ),
            models.UniqueConstraint(
                fields=["site", "rule"], condition=Q(asset=None), name="override_of_site"
            ),
            models.UniqueConstraint(fields=["asset", "rule"], name="override_of_asset"),
        ]
