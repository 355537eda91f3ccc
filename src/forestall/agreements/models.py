"""Tables of agreements: versions of terms by date, the price book, tax rates by date, price indices."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Client, Identified, Tenanted


class Agreement(Identified):
    """What a client pays for. `billed_through`: the last day that a run has frozen figures for."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="agreements")
    number = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=160)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True)  # its last day
    billed_through = models.DateField(null=True, blank=True)
    buyer_name = models.CharField(max_length=160)
    buyer_street = models.CharField(max_length=160)
    buyer_postcode = models.CharField(max_length=20)
    buyer_city = models.CharField(max_length=100)
    buyer_country = models.CharField(max_length=2)
    buyer_vat = models.CharField(max_length=20, blank=True)
    email = models.EmailField(blank=True)
    language = models.CharField(max_length=8, default="en")
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["client", "starts_on"], name="agreement_client")]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(ends_on__gte=models.F("starts_on")), name="agreement_ends_after"
            )
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class TermsVersion(Identified):
    """Terms from a day on, until the next version begins: two can never hold at once."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="versions")
    from_on = models.DateField()
    terms = models.JSONField()  # agreements.values.Terms
    because = models.CharField(max_length=300, blank=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["agreement", "from_on"]
        constraints = [models.UniqueConstraint(fields=["agreement", "from_on"], name="terms_one_a_day")]


class Credit(Identified):
    """Money back, once. `about`: what for, by identifier ("": in somebody's words alone). `billed_in`: the
    month ("2026-11") whose frozen figures have it, "" while it waits."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="credits")
    about = models.CharField(max_length=80, blank=True)
    name = models.CharField(max_length=160)
    note = models.CharField(max_length=400, blank=True)
    amount_minor = models.PositiveBigIntegerField()
    tax = models.CharField(max_length=20)
    billed_in = models.CharField(max_length=7, blank=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["made_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["agreement", "about"], condition=~Q(about=""), name="credit_once_about_it"
            )
        ]


class PriceItem(Identified):
    """The price book: what the provider offers, copied into terms when it is agreed."""

    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=160)
    basis = models.CharField(max_length=8)
    kinds = models.JSONField(default=list, blank=True)
    currency = models.CharField(max_length=3)
    price_minor = models.BigIntegerField()
    tax = models.CharField(max_length=20)

    class Meta:
        ordering = ["name"]


class TaxTable(Identified):
    """Rates from a day on. It bills nothing before somebody signs it off."""

    version = models.CharField(max_length=40, unique=True)
    from_on = models.DateField(unique=True)
    rates = models.JSONField()  # agreements.values.Rate
    made_by = models.CharField(max_length=160)
    made_at = models.DateTimeField()
    signed_by = models.CharField(max_length=160, blank=True)
    signed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-from_on"]


class PriceIndex(models.Model):
    """A year's rise of consumer prices in hundredths of a percent, and where it was read."""

    year = models.PositiveIntegerField(primary_key=True)
    percent = models.IntegerField()
    source = models.CharField(max_length=300)
    made_by = models.CharField(max_length=160)

    class Meta:
        ordering = ["-year"]
