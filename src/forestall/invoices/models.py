"""Tables of billing runs, documents, their papers, payments and reminders."""

from django.db import models
from django.db.models import Q

from forestall.agreements.models import Agreement
from forestall.estate.models import Client, Identified, Tenanted


class Seller(models.Model):
    """Who sends the invoices: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=160)
    street = models.CharField(max_length=160)
    postcode = models.CharField(max_length=20)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    vat = models.CharField(max_length=20)
    registration = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    colour = models.CharField(max_length=7, default="#0f6b52")
    logo = models.TextField(blank=True)  # an SVG

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="seller_single")]


class Series(models.Model):
    """The next number of a series (`INV-2026`): taken with the row of the document, never given back."""

    name = models.CharField(primary_key=True, max_length=20)
    next = models.PositiveIntegerField(default=1)


class Run(Identified):
    """A billing run: one a month, for all clients."""

    period = models.CharField(max_length=7, unique=True)
    state = models.CharField(max_length=10, default="draft")
    issue_on = models.DateField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    reckoned_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=160, blank=True)
    issued_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-period"]


class Draft(Identified):
    """An agreement's month in a run: the counts by name, frozen, and what they cost. `trouble`: why it cannot
    be billed."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="drafts")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="drafts")
    place = models.PositiveIntegerField()
    counts = models.TextField()
    counts_sha256 = models.CharField(max_length=64)
    bill = models.JSONField(null=True)
    terms = models.JSONField()
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField(default=0)
    before_minor = models.BigIntegerField(null=True)
    differences = models.JSONField(default=list)
    trouble = models.CharField(max_length=500, blank=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["run", "place"]
        constraints = [models.UniqueConstraint(fields=["run", "agreement"], name="draft_once")]


class Invoice(Identified):
    """A document. `content` is frozen with its number; once `sealed` it never changes but for what is open
    and what was sent. Amounts of credit notes are positive here and count negative."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="invoices")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="invoices")
    run = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="invoices")
    kind = models.CharField(max_length=10)
    period = models.CharField(max_length=7)
    series = models.CharField(max_length=20)
    index = models.PositiveIntegerField()
    number = models.CharField(max_length=40, unique=True)
    issued_on = models.DateField()
    due_on = models.DateField()
    currency = models.CharField(max_length=3)
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField()
    total_minor = models.BigIntegerField()
    open_minor = models.BigIntegerField()
    content = models.TextField()  # invoices.values.Content
    content_sha256 = models.CharField(max_length=64)
    credits = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, related_name="credited_by"
    )  # of a credit note: what it takes back, whole
    late_for = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, related_name="late_fee"
    )  # of a late fee: at most once per invoice
    sealed = models.BooleanField(default=False)
    pdf_sha256 = models.CharField(max_length=64, blank=True)
    xml_sha256 = models.CharField(max_length=64, blank=True)
    ubl_sha256 = models.CharField(max_length=64, blank=True)
    rules_fired = models.PositiveIntegerField(default=0)
    seq = models.PositiveBigIntegerField(null=True)
    trouble = models.CharField(max_length=500, blank=True)
    sending_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["series", "index"]
        constraints = [
            models.UniqueConstraint(fields=["series", "index"], name="invoice_number"),
            models.UniqueConstraint(
                fields=["agreement", "period"], condition=Q(kind="invoice"), name="invoice_once_a_period"
            ),
        ]
        indexes = [
            models.Index(fields=["due_on"], condition=~Q(open_minor=0), name="invoice_open"),
            models.Index(fields=["run", "sealed"], name="invoice_of_run"),
        ]


class Paper(models.Model):
    """The bytes of a document: `pdf`, `xml` (Factur-X) or `ubl`."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="papers")
    kind = models.CharField(max_length=4)
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "kind"], name="paper_once")]


class Payment(Identified):
    """Money that came (or went back: negative). `key` makes a payment that is told twice one payment. Without
    a client it waits for a person to say whose it is."""

    client = models.ForeignKey(Client, null=True, on_delete=models.PROTECT, related_name="payments")
    source = models.CharField(max_length=20)
    key = models.CharField(max_length=200, unique=True)
    on = models.DateField()
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    left_minor = models.BigIntegerField()
    payer = models.CharField(max_length=160, blank=True)
    text = models.CharField(max_length=500, blank=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["-on", "-id"]


class Settled(models.Model):
    """A part of a payment that settles a part of a document."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="settled")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="settled")
    amount_minor = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["payment", "invoice"], name="settled_once")]


class Reminder(models.Model):
    """A reminder of an overdue invoice: each level once."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="reminders")
    level = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    sending_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "level"], name="reminder_once")]
