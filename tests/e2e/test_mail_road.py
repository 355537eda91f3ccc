"""A client writes to support: a ticket of the right person; the answer leaves in the same thread, and what
comes back lands on it. What a stranger or a machine writes opens nothing, and nothing is relayed."""

import json
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from e2e.installation import COMMAND, Installation, environment, installed, poll
from notifier_servers import MailServer

pytestmark = pytest.mark.e2e

SUPPORT = "support@provider.example"
JANE = "jane@bramble.example"
WITHIN_S = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, MailServer]]:
    """An installation with one address for support, a client with one contact, and a mail server."""
    with ExitStack() as stack:
        mail = stack.enter_context(MailServer())
        data: Path = tmp_path_factory.mktemp("mail") / "data"
        data.mkdir()
        (data / "forestall.toml").write_text(
            f'[mail]\nhost = "127.0.0.1"\nport = {mail.port}\nsender = "{SUPPORT}"\n'
        )
        up = stack.enter_context(installed(data))
        up.desk.ask(
            f"""
            from forestall.estate.actions import add_client
            from forestall.estate.models import Contact
            from forestall.estate.tenancy import system_scope
            scope = system_scope("test")
            client = add_client(scope, name="Bramble Books")
            Contact.objects.create(client=client, name="Jane Bramble", email={JANE!r})
            """
        )
        assert SUPPORT in shell(data, "address", SUPPORT)
        assert SUPPORT in shell(data, "list")
        yield up, mail


def shell(data: Path, *words: str) -> str:
    """What a command about mail says."""
    done = subprocess.run(
        [*COMMAND, "mail", *words, "--data", str(data)],
        check=False, capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(up: Installation, *, sender: str, subject: str, text: str, to: str = SUPPORT, **more: str) -> str:
    """Send a mail to the installation's door; its Message-ID."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = f"<{abs(hash((sender, subject, text)))}@client.example>"
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", up.port("smtp"), timeout=30) as door:
        door.send_message(message, from_addr=sender, to_addrs=[to])
    return str(message["Message-ID"])


def tickets(up: Installation) -> list[dict[str, Any]]:
    """All tickets that came by mail, with their lines."""
    found: list[dict[str, Any]] = up.desk.ask(
        """
        from forestall.estate.tenancy import system_scope
        from forestall.findings.gate import seen
        from forestall.tickets.models import Entry, Ticket
        scope = system_scope("test")
        return [
            {"id": one.pk, "title": one.title, "client": one.client.name, "number": one.number,
             "reporter": one.reporter.name if one.reporter else "", "status": one.status,
             "lines": [[line.kind, line.text]
                       for line in seen(Entry, scope).filter(ticket=one).order_by("at", "pk")]}
            for one in seen(Ticket, scope).filter(came_by="mail").order_by("number")
        ]
        """
    )
    return found


def messages(up: Installation) -> list[list[str]]:
    """State, kind and reason of every message that came in."""
    found: list[list[str]] = up.desk.ask(
        """
        from forestall.estate.tenancy import system_scope
        from forestall.mail.models import Message
        rows = Message.objects.of(system_scope("test")).filter(outgoing=False).order_by("at")
        return [[one.subject, one.state, one.kind, one.reason] for one in rows]
        """
    )
    return found


def test_a_mail_becomes_a_ticket_and_its_answers_stay_in_the_thread(
    site: tuple[Installation, MailServer],
) -> None:
    up, mail = site
    first = write(up, sender=JANE, subject="The scanner is gone", text="Since this morning nothing scans.")
    (ticket,) = poll(lambda: tickets(up), within_s=WITHIN_S, what="a ticket")
    assert ticket["title"] == "The scanner is gone" and ticket["reporter"] == "Jane Bramble"
    assert ticket["client"] == "Bramble Books" and "nothing scans" in ticket["lines"][0][1]
    told = poll(lambda: list(mail.inbox), within_s=WITHIN_S, what="the word that we have it")[0]
    assert told["To"] == JANE and f"#{ticket['number']}" in told.get_content()
    assert told["Auto-Submitted"].startswith("auto") and first in told["References"]

    up.desk.ask(
        f"""
        from django.utils import timezone
        from forestall.estate.tenancy import system_scope
        from forestall.tickets.working import reply
        reply(system_scope("ana"), {ticket["id"]!r}, text="Please switch it off and on.", now=timezone.now())
        """
    )
    said = poll(lambda: mail.inbox[1:], within_s=WITHIN_S, what="the answer")[0]
    assert "switch it off" in said.get_content() and first in said["References"]
    write(
        up, sender=JANE, subject="Re: anything", text="That helped, thank you!\n\n> Please switch it off",
        In_Reply_To=said["Message-ID"],
    )  # fmt: skip
    (ticket,) = poll(
        lambda: [one for one in tickets(up) if one["lines"][-1][0] == "mail_in"],
        within_s=WITHIN_S,
        what="her line",
    )
    assert "That helped" in ticket["lines"][-1][1] and len(tickets(up)) == 1


def test_strangers_wait_and_machines_open_nothing(site: tuple[Installation, MailServer]) -> None:
    up, mail = site
    before, sent = len(tickets(up)), len(mail.inbox)
    write(up, sender="who@elsewhere.example", subject="Cheap toner", text="Buy now.")
    write(up, sender=JANE, subject="Out of office", text="I am away.", Auto_Submitted="auto-replied")
    came = poll(
        lambda: (
            (now := {one[0]: one for one in messages(up)}).keys() >= {"Cheap toner", "Out of office"} and now
        ),
        within_s=WITHIN_S,
        what="both messages",
    )
    assert came["Cheap toner"][1] == "stranger" and came["Cheap toner"][3]
    assert came["Out of office"][2] != "person" and came["Out of office"][3]
    assert len(tickets(up)) == before and len(mail.inbox) == sent

    (stranger,) = json.loads(shell(up.data, "strangers", "--json"))
    shell(up.data, "assign", stranger["message"], "--client", "Bramble Books")
    assert tickets(up)[-1]["title"] == "Cheap toner"
    assert json.loads(shell(up.data, "strangers", "--json")) == []


def test_nothing_is_relayed(site: tuple[Installation, MailServer]) -> None:
    up, _ = site
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        write(up, sender=JANE, subject="Pass this on", text="please", to="somebody@elsewhere.example")
