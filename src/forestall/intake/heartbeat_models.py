"""Heartbeats: jobs on clients' machines that say by themselves when they begin and end."""

from django.db import models

from forestall.estate.models import Asset, Client, Identified, Tenanted


class Heartbeat(Identified):
    """A job that pings. `secret_hash` finds it by the identifier in its address, `sealed` is that identifier
    for people (estate.vault).

    `pinged_at` is null until it was heard for the first time: only from then on it is expected, every
    `period_s` plus `grace_s`. `began_at` and `began_rid` are of a run that has begun and not ended.
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="heartbeats")
    name = models.CharField(max_length=100)
    period_s = models.PositiveIntegerField()
    grace_s = models.PositiveIntegerField()
    secret_hash = models.BinaryField(max_length=32, unique=True)
    sealed = models.TextField()
    made_at = models.DateTimeField()
    pings = models.PositiveBigIntegerField(default=0)
    pinged_at = models.DateTimeField(null=True)  # the last that says how a run ended
    ok_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    began_at = models.DateTimeField(null=True)
    began_rid = models.CharField(max_length=36, blank=True)
    lasted_ms = models.PositiveBigIntegerField(null=True)  # the last run whose beginning was told

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["asset", "name"], name="heartbeat_name")]


class Ping(Identified):
    """One ping; the newest PINGS_KEPT (heartbeats.py) of a heartbeat are kept. `body` is cut."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    heartbeat = models.ForeignKey(Heartbeat, on_delete=models.CASCADE, related_name="kept_pings")
    at = models.DateTimeField()
    kind = models.CharField(max_length=8)  # ok, fail, start, log
    status = models.PositiveSmallIntegerField(null=True)
    rid = models.CharField(max_length=36, blank=True)
    lasted_ms = models.PositiveBigIntegerField(null=True)
    peer = models.CharField(max_length=64)
    agent = models.CharField(max_length=200, blank=True)
    body = models.BinaryField()

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["heartbeat", "-id"], name="ping_newest")]
