"""Tables of keeping: holds against retention, and clients that are being deleted."""

from django.db import models
from django.db.models import F, Q

from forestall.estate.models import Asset, Client, Identified, Tenanted


class Hold(Identified):
    """Telemetry that retention leaves alone: of a client or of one asset, from `from_at` to `to_at` (null:
    without end on that side), until it is released or `until` has passed."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="holds")
    asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.CASCADE, related_name="holds")
    from_at = models.DateTimeField(null=True)
    to_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300)
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()
    until = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=160, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["-made_at"]
        constraints = [
            models.CheckConstraint(condition=Q(to_at=None) | Q(to_at__gt=F("from_at")), name="hold_order")
        ]


class Deletion(models.Model):
    """A client whose deletion was ordered; carried out in steps that can be done again after a crash."""

    client = models.CharField(primary_key=True, max_length=13)  # no foreign key: it outlives its client
    ordered_by = models.CharField(max_length=160)
    ordered_at = models.DateTimeField()
    error = models.CharField(max_length=500, blank=True)  # why it is not done yet
    done_at = models.DateTimeField(null=True)
    proof_seq = models.BigIntegerField(null=True)  # the journal entry with the certificate
