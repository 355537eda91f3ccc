"""Tables of backups. Reports are kept as they came (msgpack, `kernel.backups`); what people sort, filter and
count by stands beside them in columns."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Collector, Identified, Tenanted


class BackupPlan(Identified):
    """What of an asset is backed up with which tool, where to, how often, and how that is proved.

    `collector` watches it: the agent on the asset, or one that reaches the repository (null: nobody looks by
    itself, only what jobs tell is known); `elsewhere` proves that it comes back on another machine.
    `settings` are the adapter's, secrets sealed (estate.vault, record `backup/<id>/<name>`). `keep`: the
    job's own rules of pruning (`judge.backups.Keep`), null when unknown.
    `cadences`: work → seconds. `wanted`: works that people asked for, each with `proof`, `work`, `at_ms`.
    `copies`: where copies lie, the repository first, each `place`, `offsite`, `unchangeable`: 3-2-1-1-0.
    `rto_s` 0: nothing was agreed. `grace_s` 0, `sandbox_max` 0: as the judge and the collector have it.
    `paused_at` without `paused_until`: until a person goes on.
    """

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="backup_plans")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="backup_plans")
    collector = models.ForeignKey(
        Collector, null=True, blank=True, on_delete=models.SET_NULL, related_name="backup_plans"
    )
    elsewhere = models.ForeignKey(
        Collector, null=True, blank=True, on_delete=models.SET_NULL, related_name="backup_plans_elsewhere"
    )
    name = models.CharField(max_length=100)
    tool = models.CharField(max_length=40)
    repository = models.CharField(max_length=1024, blank=True)
    sources = models.JSONField(default=list, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    every_s = models.PositiveIntegerField()  # RPO
    grace_s = models.PositiveIntegerField(default=0)
    rto_s = models.PositiveIntegerField(default=0)
    keep = models.JSONField(null=True, blank=True)
    cadences = models.JSONField(default=dict, blank=True)
    slices = models.PositiveSmallIntegerField(default=30)
    sandbox_max = models.PositiveBigIntegerField(default=0)
    least_files = models.PositiveBigIntegerField(null=True, blank=True)
    least_size = models.PositiveBigIntegerField(null=True, blank=True)
    copies = models.JSONField(default=list, blank=True)
    credit_after_days = models.PositiveSmallIntegerField(null=True, blank=True)  # null: no fee credit
    credit_minor = models.PositiveIntegerField(default=0)  # of the agreement's currency
    started_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    paused_because = models.CharField(max_length=300, blank=True)
    wanted = models.JSONField(default=list, blank=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    archived_at = models.DateTimeField(null=True, blank=True)
    touched_at = models.DateTimeField()  # by a report or a person: it is then judged again

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["asset", "name"], condition=Q(archived_at=None), name="backup_plan_name"
            )
        ]
        indexes = [
            models.Index(fields=["collector"], condition=Q(archived_at=None), name="backup_plan_watched_by"),
            models.Index(fields=["touched_at"], name="backup_plan_touched"),
        ]

    def __str__(self) -> str:
        return self.name


class PlanStanding(models.Model):
    """How a plan stands, as the judge saw it last: what the board shows, one row a plan.

    `concern`, `rule`, `reason` are of its worst open finding (State.concern; 0: none). `rungs`: the ladder as
    the judge gave it, a mapping for each of the seven levels (`judge.backups.Rung`). `overdue`: a proof is
    later than its cadence. `next_due_at`: the next thing that is expected, named by `next_due`.
    `first_settings`: what decided about content and retention when the repository was first looked into.
    """

    plan = models.OneToOneField(
        BackupPlan, primary_key=True, on_delete=models.CASCADE, related_name="standing"
    )
    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    concern = models.PositiveSmallIntegerField(default=0)
    findings = models.PositiveSmallIntegerField(default=0)  # open ones
    rule = models.CharField(max_length=80, blank=True)
    reason = models.TextField(blank=True)
    overdue = models.BooleanField(default=False)
    level = models.SmallIntegerField(default=-1)
    proved_at = models.DateTimeField(null=True)
    said = models.CharField(max_length=400, blank=True)
    rungs = models.JSONField(default=list)
    implausible = models.JSONField(default=dict)  # run → why
    last_run_at = models.DateTimeField(null=True)
    last_said = models.CharField(max_length=8, blank=True)
    last_good_at = models.DateTimeField(null=True)
    last_size = models.BigIntegerField(null=True)
    next_due_at = models.DateTimeField(null=True)
    next_due = models.CharField(max_length=80, blank=True)
    first_settings = models.JSONField(null=True)
    judged_at = models.DateTimeField(null=True)
    judge_again_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["-concern", "-overdue", "level", "proved_at", "plan"], name="standing_worst"
            ),
            models.Index(fields=["client", "-concern"], name="standing_client"),
            models.Index(fields=["next_due_at"], name="standing_due"),
        ]


class BackupRun(models.Model):
    """One run of a plan's job. `report`: the newest report of it (`backups.packing`), dropped of old runs:
    the columns say the essentials. `heard_ms`: when that was seen; an older report changes nothing."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    plan = models.ForeignKey(
        BackupPlan, db_index=False, on_delete=models.CASCADE, related_name="runs"
    )  # the constraint's index begins with it
    run = models.CharField(max_length=160)
    at = models.DateTimeField()  # its end, or its beginning while it goes on, or when it was seen
    by = models.CharField(max_length=12)
    said = models.CharField(max_length=8)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    copy = models.CharField(max_length=160, blank=True)
    files = models.BigIntegerField(null=True)
    size = models.BigIntegerField(null=True)
    files_new = models.BigIntegerField(null=True)
    files_changed = models.BigIntegerField(null=True)
    files_removed = models.BigIntegerField(null=True)
    added = models.BigIntegerField(null=True)
    renamed = models.BigIntegerField(null=True)
    entropy = models.FloatField(null=True)
    exit_code = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=2048, blank=True)
    heard_ms = models.BigIntegerField(default=0)
    report = models.BinaryField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "run"], name="backup_run_once")]
        indexes = [models.Index(fields=["plan", "-at"], name="backup_run_newest")]


class RepositoryLook(models.Model):
    """One look into a plan's repository (RepositoryReport); of older ones the copies are left out."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    plan = models.ForeignKey(
        BackupPlan, db_index=False, on_delete=models.CASCADE, related_name="looks"
    )  # the constraint's index begins with it
    at = models.DateTimeField()
    opened = models.BooleanField()
    copies_total = models.PositiveBigIntegerField(default=0)
    used = models.BigIntegerField(null=True)
    free = models.BigIntegerField(null=True)
    room = models.BigIntegerField(null=True)
    report = models.BinaryField()

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "at"], name="repository_look_once")]


class Proof(Identified):
    """An attempt to prove a plan's copies (ProofReport), sealed: `seq` is its entry in the journal, and
    `sha256` names its bundle among the evidence."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    plan = models.ForeignKey(
        BackupPlan, db_index=False, on_delete=models.CASCADE, related_name="proofs"
    )  # the constraint's index begins with it
    proof = models.CharField(max_length=160)
    work = models.CharField(max_length=12)
    level = models.PositiveSmallIntegerField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    ok = models.BooleanField()
    skipped = models.BooleanField(default=False)
    part = models.PositiveSmallIntegerField(default=0)  # the slice of a reading; 0: not one
    reason = models.CharField(max_length=2048)
    copy = models.CharField(max_length=160, blank=True)
    rpo_ms = models.BigIntegerField(null=True)
    rto_ms = models.BigIntegerField(null=True)
    report = models.BinaryField()
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveIntegerField(default=0)
    sealed_at = models.DateTimeField(null=True)
    seq = models.PositiveBigIntegerField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "proof"], name="proof_once")]
        indexes = [
            models.Index(fields=["plan", "-ended_at"], name="proof_newest"),
            models.Index(fields=["plan", "work", "-ended_at"], name="proof_of_work"),
            models.Index(fields=["ended_at"], condition=Q(seq=None), name="proof_unsealed"),
        ]


class DrillProgress(models.Model):
    """How far a proof that is going on is; gone when it has ended."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    plan = models.ForeignKey(BackupPlan, on_delete=models.CASCADE, related_name="progress")
    proof = models.CharField(max_length=160)
    work = models.CharField(max_length=12)
    at = models.DateTimeField()
    doing = models.CharField(max_length=128)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    unit = models.CharField(max_length=8)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "proof"], name="drill_progress_once")]


class Worth(models.Model):
    """What a machine holds that a plan should cover (WorthReport), and what people said is not worth it:
    `left_out` maps `backups.coverage.key_of` to the reason."""

    asset = models.OneToOneField(Asset, primary_key=True, on_delete=models.CASCADE, related_name="worth")
    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    at = models.DateTimeField()
    touched_at = models.DateTimeField()
    things = models.JSONField(default=list)
    left_out = models.JSONField(default=dict)

    objects = Tenanted.as_manager()
