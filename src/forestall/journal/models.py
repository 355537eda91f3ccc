"""Tables of the journal: entries (leaves), the tree above them, signed checkpoints."""

from django.db import models


class Entry(models.Model):
    """A leaf of the log. `body` is canonical JSON; `leaf_hash` is SHA-256(0x00 ‖ body)."""

    seq = models.BigIntegerField(primary_key=True)  # from 0, without gaps: the leaf's index
    at = models.DateTimeField()
    kind = models.CharField(max_length=64)
    client = models.CharField(
        max_length=13, blank=True
    )  # no foreign key: what was written outlives its client
    subject = models.CharField(max_length=64, blank=True)
    actor = models.CharField(max_length=160)
    body = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        indexes = [
            models.Index(fields=["client", "seq"], name="entry_client"),
            models.Index(fields=["subject", "seq"], name="entry_subject"),
        ]


class Node(models.Model):
    """The hash of a complete subtree of 2**level leaves that starts at leaf index·2**level (level ≥ 1)."""

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="node_place")]


class Head(models.Model):
    """One row: how many entries there are. Locked by every append, so that they stand in a line."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    size = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="head_single")]


class Checkpoint(models.Model):
    """A signed statement of the log's size and root, which an outsider can keep."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    at = models.DateTimeField()
    note = models.TextField()
