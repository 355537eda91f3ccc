"""A mailbox at a real IMAP server: what lies there is taken in once and only then marked, whatever people do
in it meanwhile and wherever the connection ends; what is wrong is said so that somebody can mend it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from contract.daemons import free_port, make_certificate
from contract.dovecot import PASSWORD, USER, Dovecot, dovecot
from e2e.installation import poll
from forestall.estate.tenancy import system_scope
from forestall.kernel.errors import Trouble
from forestall.mail import fetching
from forestall.mail.actions import Taking, add_mailbox, take
from forestall.mail.fetching import fetch_mailbox, try_mailbox
from forestall.mail.models import Mailbox, Message
from forestall.mail.spool import Spool
from forestall.tickets.by_mail import MailDesk
from mail_messages import SUPPORT, plain

pytestmark = pytest.mark.django_db
SCOPE = system_scope("test")
WITHIN_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    certified = make_certificate(tmp_path_factory.mktemp("tls"), "imap", names=("localhost",))
    with dovecot(certified) as started:
        yield started


@pytest.fixture
def server_now(server: Dovecot) -> Dovecot:
    """The server, with an empty mailbox."""
    with server.box() as box:
        box.store("1:*", "+FLAGS", "\\Deleted") if box.search(None, "ALL")[1][0] else None
        box.expunge()
        box.unselect()
        for folder in ("Done", "Elsewhere"):
            box.delete(folder)
    return server


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "mail")


def mailbox(server: Dovecot, **other: Any) -> Mailbox:
    """A mailbox of ours at the server."""
    given: dict[str, Any] = {
        "address": SUPPORT, "host": "127.0.0.1", "port": server.port, "security": "none", "user": USER,
        "password": PASSWORD, "now": timezone.now(),
    }  # fmt: skip
    return add_mailbox(SCOPE, **(given | other))


def look(row: Mailbox, spool: Spool) -> fetching.Fetched:
    """One look at it, as the watch does."""
    return fetch_mailbox(Mailbox.objects.of(SCOPE).get(pk=row.pk), spool, now=timezone.now)


def take_in(spool: Spool) -> list[Message]:
    """Everything that waits becomes rows."""
    taking = Taking(spool, MailDesk(lambda plan, raw, now: ""), b"k" * 32)
    return [take(taking, name, now=timezone.now()) for name in spool.names(most=1000)]


def letters(count: int, *, first: int = 0) -> list[bytes]:
    return [
        plain("who@elsewhere.example", f"Letter {at}", "Hello", name=f"l{at}")
        for at in range(first, first + count)
    ]


def subjects() -> list[str]:
    """Of every message that is here as a row."""
    return sorted(Message.objects.of(SCOPE).values_list("subject", flat=True))


def test_what_lies_there_is_taken_in_once_and_then_marked(server_now: Dovecot, spool: Spool) -> None:
    row = mailbox(server_now)
    server_now.put(*letters(3))
    assert look(row, spool) == fetching.Fetched(3)
    assert server_now.count(what="SEEN") == 3
    assert look(row, spool) == fetching.Fetched(0)
    take_in(spool)
    assert subjects() == ["Letter 0", "Letter 1", "Letter 2"]
    row.refresh_from_db()
    assert row.looked_at and row.well_at and not row.trouble


def test_what_people_do_in_the_mailbox_loses_nothing_and_doubles_nothing(
    server_now: Dovecot, spool: Spool
) -> None:
    """A person reads, moves away, moves back; the server gives new numbers to all of it."""
    row = mailbox(server_now, done_folder="Done")
    server_now.put(*letters(4))
    with server_now.box() as box:
        box.store("1", "+FLAGS", "\\Seen \\Flagged")  # read by somebody before we looked: still work
        box.create("Elsewhere")
        second = box.uid("SEARCH", "ALL")[1][0].split()[1].decode()
        box.uid("MOVE", second, "Elsewhere")
    assert look(row, spool).count == 3
    assert (server_now.count(), server_now.count("Done"), server_now.count("Elsewhere")) == (0, 3, 1)
    for folder in ("Elsewhere", "Done"):  # back into the inbox, under new numbers
        with server_now.box(folder) as box:
            box.uid("MOVE", "1:*", "INBOX")
    assert look(row, spool).count == 4
    Mailbox.objects.of(SCOPE).filter(pk=row.pk).update(
        uid_validity=1
    )  # as after a server that was set up anew
    with server_now.box("Done") as box:
        box.uid("MOVE", "1:*", "INBOX")
    assert look(row, spool).count == 4
    take_in(spool)
    assert subjects() == [f"Letter {at}" for at in range(4)]


def test_a_server_that_dies_in_the_middle_loses_nothing(server_now: Dovecot, spool: Spool) -> None:
    row = mailbox(server_now, done_folder="Done")
    server_now.put(*letters(60))
    ended = threading.Event()

    def kill() -> None:
        poll(lambda: spool.load()[0] >= 5, within_s=WITHIN_S, what="five letters", every_s=0.002)
        server_now.kill()
        ended.set()

    killer = threading.Thread(target=kill)
    killer.start()
    cut = look(row, spool)
    killer.join(WITHIN_S)
    assert ended.is_set() and cut.trouble
    row.refresh_from_db()
    assert row.trouble == cut.trouble and row.well_at is None and str(server_now.port) in row.trouble
    assert "nothing listens" in look(row, spool).trouble
    server_now.start()
    while (fetched := look(row, spool)).count:
        assert not fetched.trouble
    take_in(spool)
    assert subjects() == sorted(f"Letter {at}" for at in range(60))
    assert (server_now.count(), server_now.count("Done")) == (0, 60)


def test_what_is_too_large_stays_there_and_its_head_comes(server_now: Dovecot, spool: Spool) -> None:
    row = mailbox(server_now, done_folder="Done")
    server_now.put(plain("who@elsewhere.example", "Film", "x" * 76 + "\n", name="film") + b"x" * 76 * 700_000)
    assert look(row, spool) == fetching.Fetched(1)
    (message,) = take_in(spool)
    assert message.subject == "Film" and "50 MB" in message.text and "INBOX" in message.text
    assert server_now.count() == 1 and look(row, spool).count == 0


def test_a_full_spool_leaves_them_where_they_are(server_now: Dovecot, tmp_path: Path) -> None:
    row = mailbox(server_now, done_folder="Done")
    server_now.put(*letters(3))
    small = Spool(tmp_path / "small", most=2)
    cut = look(row, small)
    assert cut.count == 2 and "no room" in cut.trouble
    assert (server_now.count(), server_now.count("Done")) == (1, 2)
    take_in(small)
    assert look(row, small) == fetching.Fetched(1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "wrong"}, "refuses the user support"),
        ({"folder": "Nowhere"}, "has no folder Nowhere"),
        ({"host": "mail.invalid"}, "nobody knows the server mail.invalid"),
        ({"security": "tls"}, "does not speak TLS"),
        ({"port": 0}, "nothing listens"),
    ],
)
def test_what_is_wrong_is_said(server_now: Dovecot, wrong: dict[str, Any], said: str) -> None:
    row = mailbox(server_now, **({"port": free_port()} if wrong == {"port": 0} else wrong))
    with pytest.raises(Trouble, match=said):
        try_mailbox(row)


def test_a_certificate_is_checked_and_a_trusted_one_is_used(
    server_now: Dovecot, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_now.put(*letters(1))
    row = mailbox(server_now, host="localhost", port=server_now.tls_port, security="tls")
    with pytest.raises(Trouble, match="is not trusted"):
        try_mailbox(row)
    monkeypatch.setenv("SSL_CERT_FILE", str(server_now.certificate))
    assert "INBOX has 1 messages, 1 of them not read yet" in try_mailbox(row)
    starttls = mailbox(server_now, host="localhost", port=server_now.port, security="starttls")
    assert look(row, spool).count == 1 and look(starttls, spool).count == 1
    take_in(spool)
    assert subjects() == ["Letter 0"]


def test_a_mailbox_that_is_removed_meanwhile_stops_nothing(server_now: Dovecot, spool: Spool) -> None:
    server_now.put(*letters(1))
    row = mailbox(server_now)
    copy = Mailbox.objects.of(SCOPE).get(pk=row.pk)
    Mailbox.objects.of(SCOPE).filter(pk=row.pk).delete()
    assert fetch_mailbox(copy, spool, now=timezone.now).count == 1
