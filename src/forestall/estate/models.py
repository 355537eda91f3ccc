"""Tables of the estate: the provider, its clients and what they have, who may see it."""

from typing import Self, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q

from forestall.estate.people import PersonManager
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS, Role
from forestall.kernel.ids import LENGTH, new_id

Row = TypeVar("Row", bound=models.Model, covariant=True)


class Tenanted(models.QuerySet[Row]):
    """Rows that belong to a client: read them through `of`, the tenancy gate."""

    def of(self, scope: Scope) -> Self:
        """Only the rows of the clients that the scope sees."""
        return self if scope.everything else self.filter(client__in=scope.clients)


class Clients(models.QuerySet["Client"]):
    """Clients themselves: the gate looks at their own identifier."""

    def of(self, scope: Scope) -> Self:
        """Only the clients that the scope sees."""
        return self if scope.everything else self.filter(pk__in=scope.clients)


class Identified(models.Model):
    """An opaque identifier that sorts by time."""

    id = models.CharField(primary_key=True, max_length=LENGTH, default=new_id, editable=False)

    class Meta:
        abstract = True


class Provider(models.Model):
    """The MSP itself: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=160)
    timezone = models.CharField(max_length=64, default="UTC")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="provider_single")]


class Client(Identified):
    """A business that the provider looks after; the tenant boundary."""

    name = models.CharField(max_length=160, unique=True)
    timezone = models.CharField(max_length=64, default="UTC")
    keep_logs_days = models.PositiveIntegerField(null=True, blank=True)
    keep_samples_days = models.PositiveIntegerField(null=True, blank=True)
    login_names = models.JSONField(default=list, blank=True)  # accounts on its machines that are ours alone
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = Clients.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Site(Identified):
    """A place or network of a client. `ranges` are the networks (CIDR) that its collectors may ask."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="sites")
    name = models.CharField(max_length=160)
    ranges = models.JSONField(default=list, blank=True)
    address = models.TextField(blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["client", "name"], name="site_name")]

    def __str__(self) -> str:
        return self.name


class Contact(Identified):
    """A person at a client."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="contacts")
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL)
    name = models.CharField(max_length=160)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=40, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Tag(Identified):
    """A word by which a client's assets are found together."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=64)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["client", "name"], name="tag_name")]


class Asset(Identified):
    """A thing that is watched. `parent` is what it hangs on: a parent that is down explains this one."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="assets")
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="assets")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children"
    )
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=32, choices=[(kind, title) for kind, title in ASSET_KINDS.items()])
    addresses = models.JSONField(default=list, blank=True)  # IP addresses and host names it sends from
    facts = models.JSONField(default=dict, blank=True)  # os, version, … as the collector saw them
    notes = models.TextField(blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="assets")
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["client", "name"], condition=Q(archived_at=None), name="asset_name"
            )
        ]
        indexes = [
            models.Index(fields=["client", "kind"], name="asset_client_kind"),
            models.Index(fields=["name", "id"], condition=models.Q(archived_at=None), name="asset_by_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Collector(Identified):
    """A collector that was enrolled: an agent on one machine, or the collector of a site."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="collectors")
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL)
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, related_name="collectors"
    )  # the machine it is on
    public_key = models.BinaryField(max_length=32)  # ed25519
    key_since = models.DateTimeField()
    enrolled_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True)
    version = models.CharField(max_length=40, blank=True)
    platform = models.CharField(max_length=80, blank=True)
    revoked_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()


class EnrolmentToken(Identified):
    """A single-use, 15-minute, tenant-bound token that a collector exchanges for its key."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    site = models.ForeignKey(Site, null=True, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, on_delete=models.CASCADE)  # else a new asset is made
    token_hash = models.BinaryField(max_length=32, unique=True)
    made_by = models.CharField(max_length=160)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()


class Credential(Identified):
    """What a collector of the client signs in to its devices with (kernel.credentials), at one `site` or at
    all. `sealed` holds every field; `user` is shown, so that people tell them apart."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="credentials")
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.CASCADE)
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=16)
    user = models.CharField(max_length=256, blank=True)
    sealed = models.TextField()
    made_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["client", "name"], name="credential_name")]

    def __str__(self) -> str:
        return self.name


class CredentialUse(models.Model):
    """How often a collector (`by` "": the server) signed in with a credential."""

    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="uses")
    by = models.CharField(max_length=LENGTH, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True)  # null: it was handed out, and no answer came yet
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["credential", "by"], name="credential_use")]


class Probe(Identified):
    """An active question about an asset, asked every `interval_s` by `collector` (null: by the server), and
    once more when `ask_now_at` is set anew."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="probes")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="probes")
    collector = models.ForeignKey(
        Collector, null=True, blank=True, on_delete=models.SET_NULL, related_name="probes"
    )
    kind = models.CharField(max_length=32)  # the name of a plug-in in collect/probes
    target = models.CharField(max_length=512)
    settings = models.JSONField(default=dict, blank=True)
    credential = models.ForeignKey(
        Credential, null=True, blank=True, on_delete=models.SET_NULL, related_name="probes"
    )
    interval_s = models.PositiveIntegerField(default=60)
    enabled = models.BooleanField(default=True)
    ask_now_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["kind", "target"]
        indexes = [
            models.Index(fields=["ask_now_at"], condition=Q(ask_now_at__isnull=False), name="probe_asked_now")
        ]


class Person(AbstractBaseUser):
    """Somebody who signs in. Staff see all clients or a few; a client contact sees exactly their own."""

    id = models.CharField(primary_key=True, max_length=LENGTH, default=new_id, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=160)
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    all_clients = models.BooleanField(default=False)
    clients = models.ManyToManyField(Client, blank=True, related_name="people")
    is_active = models.BooleanField(default=True)
    login_names = models.JSONField(default=list, blank=True)  # as whom they sign in to clients' machines
    joined_at = models.DateTimeField(auto_now_add=True)

    objects = PersonManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SetupLink(models.Model):
    """The one-time link of a fresh installation; unusable once a first owner exists."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    made_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class ApiToken(Identified):
    """A bearer token. It never exceeds what its maker may do now, nor one client if it is bound to one.

    For tokens with which programs push: what they push about nobody known is about `asset`;
    `rate_bytes_per_s` and `body_max_bytes` limit them (null: as `intake.bearers` has it).
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="api_tokens")
    client = models.ForeignKey(Client, null=True, on_delete=models.CASCADE)
    asset = models.ForeignKey(Asset, null=True, on_delete=models.CASCADE)
    rate_bytes_per_s = models.PositiveBigIntegerField(null=True)
    body_max_bytes = models.PositiveBigIntegerField(null=True)
    name = models.CharField(max_length=80)
    may = models.JSONField(default=list)  # see estate.values.RIGHTS
    token_hash = models.BinaryField(max_length=32, unique=True)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)


class ClientKey(models.Model):
    """The data key of a client's secrets, wrapped with a key that lies outside the database."""

    client = models.OneToOneField(Client, primary_key=True, on_delete=models.CASCADE)
    wrapped = models.BinaryField(max_length=128)


class SignInFailures(models.Model):
    """Wrong passwords in a row, by hashed person and address (estate.lockout)."""

    key = models.CharField(primary_key=True, max_length=64)
    count = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()
    last_at = models.DateTimeField()
    locked_until = models.DateTimeField(null=True)
