"""Tables of alerts: causes, sealed evidence, maintenance windows, channels, and who was told what."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Identified, Site, Tenanted
from forestall.findings.models import Finding


class Evidence(Identified):
    """A sealed bundle: the file's SHA-256 stands in the journal at `journal_seq`."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="evidence")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="evidence")
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="evidence")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveIntegerField()
    sealed_at = models.DateTimeField()
    journal_seq = models.BigIntegerField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["finding", "sha256"], name="evidence_once")]


class Alert(Identified):
    """Findings with one cause, as a person is told of them."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="alerts")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="alerts")  # where the cause lies
    cause_key = models.CharField(max_length=300)
    state = models.CharField(max_length=16)  # see alerts.rounds.state_of
    severity = models.CharField(max_length=16)  # the worst of this occurrence: silent, out_of_spec, breaking
    concern = models.PositiveSmallIntegerField()  # State.concern of `severity`, for ordering
    title = models.CharField(max_length=300)
    reason = models.TextField()
    opened_at = models.DateTimeField()
    tell_at = models.DateTimeField()  # not before: findings of one cause gather until then
    told_at = models.DateTimeField(null=True)  # when telling of this occurrence was decided
    last_told_at = models.DateTimeField(null=True)  # repeats count from here
    repeats = models.PositiveSmallIntegerField(default=0)
    occurrence = models.PositiveIntegerField(default=1)  # grows when it comes back soon after a recovery
    explained_by = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="explains")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=160, blank=True)
    recovered_at = models.DateTimeField(null=True)
    quiet_because = models.CharField(max_length=300, blank=True)  # why nobody is told at the moment
    findings = models.ManyToManyField(Finding, related_name="alerts")

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cause_key"], condition=Q(recovered_at=None), name="alert_open_once"
            )
        ]
        indexes = [
            models.Index(fields=["client", "-opened_at"], name="alert_client"),
            models.Index(
                fields=["-concern", "opened_at"], condition=Q(recovered_at=None), name="alert_worst"
            ),
            models.Index(fields=["cause_key", "-recovered_at"], name="alert_cause"),
            models.Index(fields=["-recovered_at"], name="alert_recovered"),
        ]


class Window(Identified):
    """Planned maintenance: findings go on, nobody is told; what is still wrong at its end is told then."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="windows")
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, blank=True, on_delete=models.CASCADE)
    title = models.CharField(max_length=160)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="window_order")
        ]


class Channel(Identified):
    """A way to tell somebody: a notifier plug-in with its settings (secrets sealed in the vault)."""

    client = models.ForeignKey(
        Client, null=True, blank=True, on_delete=models.CASCADE
    )  # null: for all clients
    notifier = models.CharField(max_length=32)
    title = models.CharField(max_length=160)
    settings = models.JSONField(default=dict)
    enabled = models.BooleanField(default=True)

    objects = Tenanted.as_manager()


class Delivery(Identified):
    """The ledger: a row per alert, step and channel. Claimed by a conditional UPDATE, sent at least once."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    step = models.CharField(
        max_length=32
    )  # opened, worse, cause, more, repeat, recovered; see alerts.values.step_name
    occurrence = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, default="due")  # due, sent, given_up, superseded
    message = models.JSONField(default=dict)
    made_at = models.DateTimeField()
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alert", "step", "channel"], name="delivery_once")]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="due"), name="delivery_due"),
            models.Index(fields=["client", "-made_at"], name="delivery_ledger"),
        ]
