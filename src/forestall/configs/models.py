"""Tables of configurations: contents once, versions that point at them, changes between versions."""

from django.db import models

from forestall.estate.models import Asset, Client, Identified, Tenanted


class Content(models.Model):
    """A configuration's text, compressed, once per client (`digest`: SHA-256 of the plain text).

    `place` is its place in its run (see `packing`); with a `base` it is compressed against the base's text.
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+", db_index=False)
    digest = models.BinaryField(max_length=32)
    size_bytes = models.PositiveIntegerField()
    compressed = models.BinaryField()
    base = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    place = models.PositiveSmallIntegerField(default=0)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "digest"], name="content_once")]


class Version(Identified):
    """A configuration as it was from `captured_at`, last confirmed at `seen_at`. Of one configuration
    `captured_at` rises with `number`."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="versions", db_index=False)
    kind = models.CharField(max_length=128)
    title = models.CharField(max_length=128, blank=True)
    number = models.PositiveIntegerField()
    content = models.ForeignKey(Content, on_delete=models.PROTECT)
    captured_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset", "kind", "captured_at"], name="version_captured")
        ]


class Configuration(models.Model):
    """What is captured of an asset under one `kind`: its newest version, and the one that a person named its
    baseline. `judged` is what the spec said of the newest one (processes.judging_texts); `touched_at` moves
    with everything that makes it worth judging again."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="configurations", db_index=False)
    kind = models.CharField(max_length=128)
    title = models.CharField(max_length=128, blank=True)
    newest = models.ForeignKey(Version, on_delete=models.RESTRICT, related_name="+")
    baseline = models.ForeignKey(Version, null=True, on_delete=models.SET_NULL, related_name="+")
    baseline_by = models.CharField(max_length=160, blank=True)
    baseline_at = models.DateTimeField(null=True)
    baseline_because = models.CharField(max_length=300, blank=True)
    touched_at = models.DateTimeField(db_index=True)
    judged = models.JSONField(default=dict)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "kind"], name="configuration_place")]


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
    named = models.JSONField(default=list)  # who made it, as log lines say (Notice)
    added = models.PositiveIntegerField()
    removed = models.PositiveIntegerField()
    summary = models.CharField(max_length=300)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["asset", "-at"], name="change_asset"),
            models.Index(fields=["client", "-at"], name="change_client"),
        ]


class Notice(Identified):
    """A log line or trap that said that a configuration was changed. `at`: when it was received; `line` has
    its secrets masked; `change` is what a capture then showed."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="notices")
    change = models.ForeignKey(Change, null=True, on_delete=models.SET_NULL, related_name="notices")
    at = models.DateTimeField()
    user = models.CharField(max_length=128, blank=True)
    address = models.CharField(max_length=128, blank=True)
    line = models.CharField(max_length=1000)
    digest = models.BinaryField(max_length=16)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset", "at", "digest"], name="notice_once")]


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
