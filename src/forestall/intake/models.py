"""What was refused at a door, kept for inspection; who sends although nobody knows whose it is."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Identified, Tenanted
from forestall.intake.heartbeat_models import Heartbeat, Ping

__all__ = ["FeedBlock", "Heartbeat", "Ping", "RejectedInput", "Stranger"]


class RejectedInput(Identified):
    """Refused input: which door, from whom, why, and the bytes (cut to a limit).

    The same reason from the same sender within an hour is one row whose `count` grows.
    """

    client = models.ForeignKey(Client, null=True, on_delete=models.CASCADE)
    door = models.CharField(max_length=32)
    sender = models.CharField(max_length=160)
    reason = models.CharField(max_length=500)
    count = models.PositiveBigIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    raw = models.BinaryField()

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["-last_at"], name="rejected_last"),
            models.Index(fields=["door", "sender", "-first_at"], name="rejected_sender"),
        ]


class Stranger(Identified):
    """Who sends although nobody knows whose it is: an address, or inside a client (whose token was used) a
    host name that no asset has. Its frames wait in files (`intake.quarantine`) until somebody says.

    `spans`: for each queue the stretches that went into quarantine, first and last position of each as four
    numbers.
    `generation`, `older_bytes` and `newer_bytes` say what of the files counts. `block`: the numbers with
    which its frames are fed again, from when that begins.
    """

    WAITING, RELEASED, FEEDING, IGNORED, DONE = "waiting", "released", "feeding", "ignored", "done"
    STATES = [(state, state) for state in (WAITING, RELEASED, FEEDING, IGNORED, DONE)]

    client = models.ForeignKey(Client, null=True, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, on_delete=models.SET_NULL)  # whose it was said to be
    door = models.CharField(max_length=32)
    sender = models.CharField(max_length=160)
    reason = models.CharField(max_length=500)
    example = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=16, choices=STATES, default=WAITING)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    records = models.PositiveBigIntegerField(default=0)  # all that ever came
    kept_records = models.PositiveBigIntegerField(default=0)
    dropped_records = models.PositiveBigIntegerField(default=0)
    dropped_bytes = models.PositiveBigIntegerField(default=0)
    fed_records = models.PositiveBigIntegerField(default=0)
    fed_times = models.PositiveIntegerField(default=0)
    older_records = models.PositiveBigIntegerField(default=0)
    older_bytes = models.PositiveBigIntegerField(default=0)
    newer_bytes = models.PositiveBigIntegerField(default=0)
    generation = models.PositiveIntegerField(default=1)
    spans = models.JSONField(default=dict)
    released_at = models.DateTimeField(null=True)
    block = models.PositiveBigIntegerField(null=True)

    objects = Tenanted.as_manager()

    @property
    def kept_bytes(self) -> int:
        """What its files hold, compressed."""
        return self.older_bytes + self.newer_bytes

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["client", "door", "sender"], condition=~Q(client=None), name="stranger_of_client"
            ),
            models.UniqueConstraint(
                fields=["door", "sender"], condition=Q(client=None), name="stranger_of_nobody"
            ),
        ]
        indexes = [models.Index(fields=["-last_at"], name="stranger_last")]


class FeedBlock(models.Model):
    """The next block of numbers for frames that are fed again: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    next = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="feed_block_single")]
