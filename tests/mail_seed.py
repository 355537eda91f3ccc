"""Mail for the examples of pages and of the tenancy matrix: a stranger's message with files, an answer that
did not arrive, a mailbox that is not read, an address."""

from datetime import datetime, timedelta

from django.conf import settings

from estate_factories import EVERYTHING
from forestall.kernel.clock import to_ms
from forestall.mail.actions import Taking, add_mailbox, take, thread_for
from forestall.mail.models import Address, Mailbox
from forestall.mail.outbox import write
from forestall.mail.spool import Spool
from forestall.mail.values import State
from forestall.tickets.by_mail import MailDesk
from mail_messages import plain, trapped

STRANGER = "Kim Weber <kim@client.example>"


def mailed(ids: dict[str, str], now: datetime) -> None:
    """Mail of `ids["client"]`; what an address can name of it is added to `ids`. With `ids["ticket"]` there
    is an answer that did not arrive."""
    client = ids["client"]
    address = f"support@{client.lower()}.example"
    box = add_mailbox(
        EVERYTHING, address=address, host="imap.provider.example", user=f"user-{client.lower()}",
        password="x", client=client, now=now - timedelta(days=3),
    )  # fmt: skip
    Mailbox.objects.of(EVERYTHING).filter(pk=box.pk).update(
        looked_at=now, trouble="nothing listens at imap.provider.example port 993."
    )
    spool = Spool(settings.DATA.mail)
    letters = (
        trapped(STRANGER, f"trap-{client}"),
        plain(
            "who@elsewhere.example",
            "An offer that you cannot refuse",
            "Toner, cheap.",
            name=f"toner-{client}",
        ),
    )
    rows = []
    for letter in letters:
        name = spool.keep(
            letter, received_at_ms=to_ms(now), peer="192.0.2.7", helo="client.example", sender="",
            recipients=(address,), by="imap",
        )  # fmt: skip
        rows.append(take(Taking(spool, MailDesk(lambda plan, raw, at: ""), b"k" * 32), name, now=now))
    ids["message"] = rows[0].pk
    ids["attachment"] = rows[0].attachments.get(name="jam.png").pk
    ids["mailbox"] = box.pk
    ids["address"] = Address.objects.of(EVERYTHING).get(address=address).pk
    if ids.get("ticket"):
        thread = thread_for(client, ids["ticket"], 1, now=now)
        row = write(
            thread,
            key=f"seed-{client}",
            to=["gone@client.example"],
            subject="Re: Printer",
            text="Try it.",
            now=now,
        )
        assert row is not None
        row.state, row.reason, row.attempts = State.GIVEN_UP, "the server said 550 no such mailbox", 1
        row.save()
