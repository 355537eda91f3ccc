"""An installation that gets mail at its SMTP door and from a real IMAP server, and whose own mail goes to a
real SMTP server outside, behind which some people have programs that answer everything."""

import email.utils
import smtplib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from contract.dovecot import PASSWORD, USER, Dovecot, dovecot
from e2e.installation import COMMAND, Installation, environment, installed
from mail_messages import SUPPORT
from notifier_servers import MailServer

JANE, OMAR = "jane@bramble.example", "omar@oak.example"
ECHO, ANEW = "echo@bramble.example", "anew@bramble.example"  # programs read these and answer everything
PEOPLE = {
    "Bramble Books": {"Jane Bramble": JANE, "Ed Echo": ECHO, "Ann Anew": ANEW},
    "Oak Dental": {"Omar Oak": OMAR},
}


class Outside(MailServer):
    """The server of the clients. Mail to ECHO is answered in its thread, mail to ANEW by a new one, without
    any sign that a machine wrote it: the worst that such programs do."""

    def __init__(self) -> None:
        super().__init__()
        self.door = 0
        self.answered = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        said: str = await super().handle_DATA(server, session, envelope)
        mail = self.inbox[-1]
        if mail["To"] in (ECHO, ANEW):
            self.answered += 1
            threading.Thread(target=self._answer, args=(mail, self.answered), daemon=True).start()
        return said

    def _answer(self, mail: Any, number: int) -> None:
        answer = EmailMessage()
        answer["From"], answer["Message-ID"] = mail["To"], f"<answer{number}@bramble.example>"
        to = SUPPORT
        if mail["To"] == ECHO:
            to = email.utils.parseaddr(mail["Reply-To"])[1]
            answer["Subject"], answer["In-Reply-To"] = f"Re: {mail['Subject']}", mail["Message-ID"]
        else:
            answer["Subject"] = "We got your mail"
        answer["To"] = to
        answer.set_content(f"Thank you for your mail number {number}. We will come back to you.")
        post(self.door, answer.as_bytes(), sender=mail["To"], to=to)

    def to(self, address: str) -> list[Any]:
        """The mails that somebody got."""
        return [one for one in self.inbox if one["To"] == address]


class Site:
    """The installation, the server outside and the mailbox of support."""

    def __init__(self, up: Installation, outside: Outside, imap: Dovecot) -> None:
        self.up, self.outside, self.imap = up, outside, imap

    def post(self, raw: bytes, *, sender: str, to: str = SUPPORT) -> None:
        """Send a mail to the door."""
        post(self.up.port("smtp"), raw, sender=sender, to=to)

    def tickets(self) -> list[dict[str, Any]]:
        """All tickets that came by mail, with their lines."""
        found: list[dict[str, Any]] = self.up.desk.ask(
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

    def messages(self) -> dict[str, dict[str, Any]]:
        """Every message that came in, by its identifier; of one that came twice the one that counts."""
        found: dict[str, dict[str, Any]] = self.up.desk.ask(
            """
            from forestall.estate.tenancy import system_scope
            from forestall.mail.models import Message
            rows = Message.objects.of(system_scope("test")).filter(outgoing=False)
            rows = rows.exclude(state="repeated").select_related("thread").prefetch_related("attachments")
            return {
                one.message_id: {
                    "subject": one.subject, "state": one.state, "kind": one.kind, "why": one.reason,
                    "ticket": one.thread.number if one.thread else 0, "said": one.said, "page": one.page,
                    "signed": one.signed, "contact": one.contact.name if one.contact else "",
                    "files": {file.name: [file.size, file.held] for file in one.attachments.all()},
                }
                for one in rows
            }
            """
        )
        return found

    def count(self, **fields: Any) -> int:
        """How many messages have these fields."""
        return int(
            self.up.desk.ask(
                f"""
                from forestall.estate.tenancy import system_scope
                from forestall.mail.models import Message
                return Message.objects.of(system_scope("test")).filter(**{fields!r}).count()
                """
            )
        )

    def waiting(self) -> int:
        """How many messages are durable and not yet taken in, or were set aside by a mistake of ours."""
        folders = [self.up.data / "mail" / name for name in ("waiting", "aside")]
        return sum(1 for folder in folders for _ in folder.glob("*.json"))


def post(port: int, raw: bytes, *, sender: str, to: str) -> None:
    """Send a mail to a door on loopback."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as door:
        door.sendmail(sender, [to], raw)


def shell(data: Path, *words: str, given: str = "") -> str:
    """What a command about mail says."""
    done = subprocess.run(
        [*COMMAND, "mail", *words, "--data", str(data)],
        check=False, capture_output=True, text=True, timeout=60, env=environment(), input=given,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def mail_site(data: Path) -> Iterator[Site]:
    """A site that is ready: two clients with contacts, one address of support, its mailbox at the server."""
    with ExitStack() as stack:
        outside = stack.enter_context(Outside())
        imap = stack.enter_context(dovecot())
        data.mkdir()
        (data / "forestall.toml").write_text(
            f'[mail]\nhost = "127.0.0.1"\nport = {outside.port}\nsender = "{SUPPORT}"\n'
            'trusted = ["mx.provider.example"]\n'
        )
        up = stack.enter_context(installed(data))
        outside.door = up.port("smtp")
        up.desk.ask(
            f"""
            from forestall.estate.actions import add_client
            from forestall.estate.models import Contact
            from forestall.estate.tenancy import system_scope
            scope = system_scope("test")
            for name, people in {PEOPLE!r}.items():
                client = add_client(scope, name=name)
                for person, address in people.items():
                    Contact.objects.create(client=client, name=person, email=address)
            """
        )
        assert SUPPORT in shell(data, "address", SUPPORT)
        words = (
            "--host",
            "127.0.0.1",
            "--port",
            str(imap.port),
            "--security",
            "none",
            "--user",
            USER,
            "--done",
            "Done",
        )
        assert SUPPORT in shell(data, "mailbox", SUPPORT, *words, given=PASSWORD + "\n")
        assert SUPPORT in shell(data, "list")
        yield Site(up, outside, imap)
