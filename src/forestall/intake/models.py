"""What was refused at a door, kept for inspection."""

from django.db import models

from forestall.estate.models import Client, Identified, Tenanted


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
