"""Tables of what sweeps saw: sightings (proposals until an asset stands for them), wires, parents."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Asset, Client, Identified, Site, Tenanted


class SweepOfSite(models.Model):
    """The last sweep of a site. `links` are the raw words of devices about their wires, as Link's fields with
    the time (`at_ms`), those of earlier sweeps too as long as they count; `cut` what was left out."""

    site = models.OneToOneField(Site, primary_key=True, on_delete=models.CASCADE, related_name="sweep")
    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    at = models.DateTimeField()
    first_at = models.DateTimeField()
    asked = models.PositiveIntegerField(default=0)
    whole = models.BooleanField(default=True)
    reason = models.CharField(max_length=1024, blank=True)
    cut = models.JSONField(default=dict)
    links = models.JSONField(default=list)

    objects = Tenanted.as_manager()


class Sighting(Identified):
    """A device as sweeps saw it. Without an asset and not dismissed it is a proposal."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="sightings")
    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="sightings")
    asset = models.ForeignKey(
        Asset, null=True, blank=True, on_delete=models.SET_NULL, related_name="sightings"
    )
    key = models.CharField(max_length=64)  # its MAC, else its address
    address = models.CharField(max_length=45)
    mac = models.CharField(max_length=17, blank=True)
    addresses = models.JSONField(default=list)
    macs = models.JSONField(default=list)
    names = models.JSONField(default=list)
    vendor = models.CharField(max_length=128, blank=True)
    ports = models.JSONField(default=list)
    services = models.JSONField(default=list)
    description = models.CharField(max_length=512, blank=True)
    object_id = models.CharField(max_length=128, blank=True)
    by = models.JSONField(default=list)
    forwards = models.BooleanField(default=False)
    kind = models.CharField(max_length=32)  # as guessed (networks.guess)
    reason = models.CharField(max_length=512)  # what the guess stands on
    matched_by = models.CharField(max_length=200, blank=True)  # why it is this asset
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by = models.CharField(max_length=160, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "key"], name="sighting_key")]
        indexes = [
            models.Index(
                fields=["client", "site"], condition=Q(asset=None, dismissed_at=None), name="sighting_waiting"
            )
        ]

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.names[0]).partition(".")[0] if self.names else self.address


class Wire(Identified):
    """Two devices that hang together: `lower` on `upper`, seen from the gateway. Made anew by every sweep."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="wires")
    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="wires")
    lower = models.ForeignKey(Sighting, on_delete=models.CASCADE, related_name="wires_up")
    upper = models.ForeignKey(Sighting, on_delete=models.CASCADE, related_name="wires_down")
    lower_port = models.CharField(max_length=128, blank=True)
    upper_port = models.CharField(max_length=128, blank=True)
    protocol = models.CharField(max_length=8)
    tree = models.BooleanField(default=True)  # False: a further wire between two devices of the tree
    blocked = models.BooleanField(default=False)  # by spanning tree
    reason = models.CharField(max_length=512)

    objects = Tenanted.as_manager()


class Hanging(models.Model):
    """What the topology says that an asset hangs on. `applied` is the parent that was set because of it; the
    asset's parent is somebody's own choice when it is another one."""

    asset = models.OneToOneField(Asset, primary_key=True, on_delete=models.CASCADE, related_name="hanging")
    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    parent = models.ForeignKey(Asset, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=512)
    applied = models.ForeignKey(Asset, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()

    objects = Tenanted.as_manager()
