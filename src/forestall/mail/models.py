"""Tables of mail: addresses of ours, mailboxes that are fetched, threads, messages, attachments."""

from django.db import models
from django.db.models import Q

from forestall.estate.models import Client, Contact, Identified, Tenanted
from forestall.kernel.ids import LENGTH


class Address(Identified):
    """An address at which mail is taken in: of support (of one client, or of all: `client` null), or of a
    backup plan (`plan`), whose products write there about their runs. Small letters, nothing behind a `+`."""

    client = models.ForeignKey(Client, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    address = models.CharField(max_length=254, unique=True)
    plan = models.CharField(max_length=LENGTH, blank=True)
    made_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["address"]


class Mailbox(Identified):
    """A mailbox that is fetched over IMAP. `uid_validity` and `last_uid`: how far; messages up to there are
    durable here."""

    client = models.ForeignKey(Client, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    address = models.CharField(max_length=254)  # to whom its messages are, when they do not say so
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=993)
    security = models.CharField(max_length=8, default="tls")  # tls, starttls, none
    user = models.CharField(max_length=254)
    sealed = models.TextField()
    folder = models.CharField(max_length=254, default="INBOX")
    done_folder = models.CharField(max_length=254, blank=True)  # "": messages stay, marked as seen
    uid_validity = models.PositiveBigIntegerField(default=0)
    last_uid = models.PositiveBigIntegerField(default=0)
    looked_at = models.DateTimeField(null=True)
    well_at = models.DateTimeField(null=True)  # the last look without trouble
    trouble = models.CharField(max_length=500, blank=True)
    made_at = models.DateTimeField()

    objects = Tenanted.as_manager()

    class Meta:
        ordering = ["user"]


class Thread(Identified):
    """A conversation by mail about one thing: `topic` is the identifier of a ticket."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="+")
    topic = models.CharField(max_length=LENGTH, unique=True)
    number = models.PositiveIntegerField()  # of the ticket, as people say it
    made_at = models.DateTimeField()

    objects = Tenanted.as_manager()


class Message(Identified):
    """A mail, in or out (`outgoing`). `client` null: nobody knows whose it is. `digest` names its bytes in
    the blobs; `key` is what makes it one: the digest of the same, the entry of an answer."""

    client = models.ForeignKey(Client, null=True, on_delete=models.CASCADE, related_name="+")
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="+")
    thread = models.ForeignKey(Thread, null=True, on_delete=models.SET_NULL, related_name="messages")
    refers = models.CharField(max_length=LENGTH, blank=True)  # the thread that a stranger's answers, unproved
    entry = models.CharField(max_length=LENGTH, blank=True)  # of the ticket's timeline
    outgoing = models.BooleanField(default=False)
    state = models.CharField(max_length=16)
    kind = models.CharField(max_length=24)
    reason = models.CharField(max_length=500, blank=True)
    key = models.CharField(max_length=160, unique=True)
    message_id = models.CharField(max_length=255, blank=True)
    sender = models.CharField(max_length=254, blank=True)
    sender_name = models.CharField(max_length=160, blank=True)
    recipients = models.JSONField(default=list)
    subject = models.CharField(max_length=300, blank=True)
    said = models.TextField(blank=True)  # without what it quotes
    text = models.TextField(blank=True)
    page = models.TextField(blank=True)  # safe HTML
    notes = models.JSONField(default=list)
    signed = models.CharField(max_length=200, blank=True)
    authentication = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)

    objects = Tenanted.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["message_id"], condition=~Q(message_id=""), name="message_id"),
            models.Index(fields=["state", "-at"], name="message_state"),
            models.Index(fields=["sender", "-at"], name="message_sender"),
            models.Index(fields=["entry"], condition=~Q(entry=""), name="message_entry"),
            models.Index(fields=["due_at"], condition=Q(state="due"), name="message_due"),
            models.Index(fields=["client", "-at"], name="message_client"),
        ]


class Attachment(Identified):
    """A file of a message, or one that a contact gave in the portal. `held`: why nobody should open it."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=120)
    claimed = models.CharField(max_length=120, blank=True)
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)
    held = models.CharField(max_length=300, blank=True)


class SignInLink(models.Model):
    """A one-time link with which a contact gets into the portal. `email` in small letters."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    made_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
