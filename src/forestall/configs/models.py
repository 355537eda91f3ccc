"""Tables of configurations: contents once, versions that point at them, changes between versions."""

from django.db import models

from forestall.estate.models import Asset, Client, Identified, Tenanted


class Content(models.Model):
    """A configuration's text, zstd-compressed, named by the SHA-256 of the plain text and its client.

    With a `base` it is compressed with the base's text as dictionary; `depth` bases stand behind it.
    """

    key = models.CharField(primary_key=True, max_length=80)  # client id : sha256
    size_bytes = models.PositiveIntegerField()
    compressed = models.BinaryField()
    base = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    depth = models.PositiveSmallIntegerField(default=0)


class Version(Identified):
    """A configuration as it was from `captured_at`, last confirmed at `seen_at`."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="versions")
    kind = models.CharField(max_length=128)
    title = models.CharField(max_length=128, blank=True)
    number = models.PositiveIntegerField()
    content = models.ForeignKey(Content, on_delete=models.PROTECT)
    captured_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "kind", "number"], name="version_number")]
        indexes = [models.Index(fields=["asset", "kind", "-number"], name="version_latest")]


class Change(Identified):
    """A difference between two captures: it happened after `after_at` and before `at`."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=128)
    title = models.CharField(max_length=128, blank=True)
    before = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    after = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    after_at = models.DateTimeField()  # the last capture that still showed the old text
    at = models.DateTimeField()  # the first capture that showed the new one
    signed_in = models.JSONField(default=list)  # who was signed in at the capture
    added = models.PositiveIntegerField()
    removed = models.PositiveIntegerField()
    summary = models.CharField(max_length=300)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["asset", "-at"], name="change_asset"),
            models.Index(fields=["client", "-at"], name="change_client"),
        ]


class Refusal(Identified):
    """A capture that was refused or cut short: shown, never a version. One row per asset and kind."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="refusals")
    kind = models.CharField(max_length=128)
    problem = models.CharField(max_length=1024)
    at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "kind"], name="refusal_place")]
