"""Tables of problems: what recurs, what is suspected, what was fixed and whether it held, what is known."""

from django.db import models
from django.db.models import Q

from forestall.configs.models import Change
from forestall.estate.models import Asset, Client, Identified, Tenanted
from forestall.findings.models import Finding
from forestall.problems.values import FIX_STATES, STATUSES
from forestall.tickets.models import Ticket


class Round(models.Model):
    """Up to where findings, tickets and changes were looked at: their last identifiers. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    finding = models.CharField(max_length=13, blank=True)
    ticket = models.CharField(max_length=13, blank=True)
    change = models.CharField(max_length=13, blank=True)


class Problem(Identified):
    """The cause behind recurring tickets of a client. `key` is the fingerprint (client's level) that it was
    made for; what people joined with it belongs to it too."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="problems")
    asset = models.ForeignKey(Asset, null=True, on_delete=models.SET_NULL, related_name="problems")
    key = models.CharField(max_length=24, blank=True)
    title = models.CharField(max_length=300)
    status = models.CharField(max_length=16, choices=[(one, one) for one in STATUSES])
    why = models.TextField()  # why it was proposed or opened
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=160)
    changed_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    reopened = models.PositiveIntegerField(default=0)
    root_cause = models.TextField(blank=True)
    workaround = models.TextField(blank=True)
    known_error = models.BooleanField(default=False)
    lesson = models.TextField(blank=True)  # of the post-mortem; its timeline is read from the rows

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["client", "key"], condition=~Q(key=""), name="problem_key")
        ]
        indexes = [models.Index(fields=["status", "-changed_at"], name="problem_status")]


class Occurrence(Identified):
    """A finding, or the report of a client, with its fingerprint. `episode`: it is a time of its own, and not
    the same one still."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    asset = models.ForeignKey(Asset, null=True, on_delete=models.CASCADE, related_name="+")
    finding = models.OneToOneField(Finding, null=True, on_delete=models.CASCADE, related_name="occurrence")
    ticket = models.OneToOneField(Ticket, null=True, on_delete=models.CASCADE, related_name="occurrence")
    problem = models.ForeignKey(Problem, null=True, on_delete=models.SET_NULL, related_name="occurrences")
    key_asset = models.CharField(max_length=24, blank=True)
    key_client = models.CharField(max_length=24, blank=True)
    key_everywhere = models.CharField(max_length=24, blank=True)
    said = models.CharField(max_length=300)
    at = models.DateTimeField()
    episode = models.BooleanField(default=True)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["client", "key_client", "-at"], name="occurrence_key"),
            models.Index(fields=["key_everywhere", "-at"], name="occurrence_everywhere"),
            models.Index(fields=["problem", "-at"], name="occurrence_problem"),
        ]


class Same(Identified):
    """A person's word that two fingerprints of a client are the same trouble, or are not."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    left = models.CharField(max_length=24)
    right = models.CharField(max_length=24)
    same = models.BooleanField()
    at = models.DateTimeField()
    by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()


class Hypothesis(Identified):
    """What somebody thinks is behind it."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="hypotheses")
    text = models.CharField(max_length=1000)
    state = models.CharField(max_length=16, default="open")  # open, confirmed, refuted
    by = models.CharField(max_length=160)
    at = models.DateTimeField()

    objects = Tenanted.as_manager()


class Suspects(Identified):
    """The suspects of one onset as they were ranked: a list of {id, kind, asset, title, share, evidence}.
    `found`: what log lines and series told of the time around it (problems.looking), when `looked_at`."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="suspects")
    onset_at = models.DateTimeField()
    ranked_at = models.DateTimeField()
    ranked = models.JSONField(default=list)
    found = models.JSONField(default=dict)
    looked_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["problem", "onset_at"], name="suspects_onset")]


class Fix(Identified):
    """What was done about a problem, and the watch on it. `because`: how long the watch is, and why;
    `unseen_s`: by how much it was made longer, because the asset was not observed so long."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="fixes")
    change = models.ForeignKey(Change, null=True, on_delete=models.SET_NULL, related_name="+")
    what = models.CharField(max_length=300)
    by = models.CharField(max_length=160)
    done_at = models.DateTimeField()
    watch_until = models.DateTimeField()
    because = models.CharField(max_length=500)
    unseen_s = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, choices=[(one, one) for one in FIX_STATES])
    proven_at = models.DateTimeField(null=True)
    came_back_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [models.Index(fields=["watch_until"], condition=Q(state="on_watch"), name="fix_watch")]


class Article(Identified):
    """What is known about a fingerprint, for the tickets that have it. The newest version counts."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=24)
    title = models.CharField(max_length=200)
    text = models.TextField()
    version = models.PositiveIntegerField()
    by = models.CharField(max_length=160)
    at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "key", "version"], name="article_version")]


class Expectation(Identified):
    """What a problem was expected to cost from `at` to `until`, and what it did (null: not yet known).
    `fixed`: a fix was made before half of that time was over."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="expectations")
    at = models.DateTimeField()
    until = models.DateTimeField()
    times = models.FloatField()
    effort_s = models.PositiveIntegerField()
    came_times = models.PositiveIntegerField(null=True)
    came_effort_s = models.PositiveIntegerField(null=True)
    fixed = models.BooleanField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["problem", "at"], name="expectation_once")]
        indexes = [
            models.Index(fields=["until"], condition=Q(came_times=None), name="expectation_due"),
            models.Index(fields=["problem", "-at"], name="expectation_problem"),
        ]
