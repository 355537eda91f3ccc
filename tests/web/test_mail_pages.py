"""Mail in the console: strangers are let in or refused with one click, files are downloads that run nowhere,
what did not arrive is sent again, mailboxes say what is wrong with them, who is named is told by mail."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import EVERYTHING, make_client, make_person
from forestall.estate.actions import add_contact
from forestall.estate.models import Client, Contact, Person
from forestall.estate.values import Role
from forestall.estate.vault import is_sealed, open_sealed
from forestall.journal.models import Entry as JournalEntry
from forestall.mail.actions import Taking, take
from forestall.mail.models import Attachment, Mailbox, Message
from forestall.mail.outbox import send_due
from forestall.mail.sending import NotSent
from forestall.mail.spool import Spool
from forestall.mail.values import State
from forestall.tickets.by_mail import MailDesk, follow_answers, follow_mentions
from forestall.tickets.models import Entry, Ticket
from forestall.tickets.working import note, reply
from mail_messages import SUPPORT, UNSAFE, plain, trapped
from one_line import one_line

pytestmark = pytest.mark.django_db
KEY = b"k" * 32
KIM = "kim@bakery.example"


def arrive(raw: bytes) -> Message:
    """A mail that is taken in."""
    spool = Spool(settings.DATA.mail)
    name = spool.keep(raw, received_at_ms=int(timezone.now().timestamp() * 1000), peer="192.0.2.1", helo="x",
                      sender=KIM, recipients=(SUPPORT,))  # fmt: skip
    return take(Taking(spool, MailDesk(lambda plan, raw, at: ""), KEY), name, now=timezone.now())


@pytest.fixture
def bakery() -> Client:
    """A client with one contact, whose colleague Kim writes for the first time."""
    client = make_client("Bakery")
    add_contact(EVERYTHING, client=client.pk, name="Pat", email="pat@bakery.example")
    return client


def signed_in(role: Role = Role.TECHNICIAN) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=role))
    return browser


def test_a_stranger_is_let_in_with_one_click(bakery: Client) -> None:
    message, browser = arrive(trapped(f"Kim <{KIM}>", "a")), signed_in()
    page = one_line(browser.get("/mail/"))
    assert "Let in: Bakery" in page and "&lt;script&gt;alert(&#x27;subject&#x27;)" in page
    shown = one_line(browser.get(f"/mail/messages/{message.pk}/"))
    body = shown.lower().partition('<main id="main"')[2].partition("</main>")[0]
    allowed = {"<form", "<input", "<svg"}  # our own buttons and icons
    assert not [one for one in UNSAFE if one in body and one not in allowed]
    assert "evil.example" not in str(browser.get("/mail/")["Content-Security-Policy"])
    place = browser.post(f"/mail/messages/{message.pk}/let-in", {"owner": bakery.pk})["Location"]
    ticket = Ticket.objects.get()
    assert place == f"/tickets/{ticket.pk}/" and ticket.client == bakery
    assert Contact.objects.get(email=KIM).client == bakery and ticket.reporter is not None
    assert "jam.png" in one_line(browser.get(place))
    again = browser.post(f"/mail/messages/{message.pk}/let-in", {"owner": bakery.pk}, follow=True)
    assert "settled" in one_line(again) and Ticket.objects.count() == 1


def test_a_colleague_who_answers_a_mail_they_were_shown_is_let_in_to_its_ticket(bakery: Client) -> None:
    arrive(plain("pat@bakery.example", "Oven", "It is cold.", name="first"))
    ticket, browser = Ticket.objects.get(), signed_in()
    kim = arrive(plain(KIM, "Fwd: Oven", "At mine too.", References="<first@client.example>"))
    assert kim.state == State.STRANGER and f"ticket #{ticket.number}" in kim.reason
    elsewhere = make_client("Elsewhere")
    place = browser.post(f"/mail/messages/{kim.pk}/let-in", {"owner": bakery.pk})["Location"]
    assert place == f"/tickets/{ticket.pk}/" and Ticket.objects.count() == 1
    assert Entry.objects.filter(ticket=ticket).latest("pk").text == "At mine too."
    other = arrive(plain("lee@mill.example", "Fwd: Oven", "And here.", References="<first@client.example>"))
    browser.post(f"/mail/messages/{other.pk}/let-in", {"owner": elsewhere.pk})
    assert Ticket.objects.get(client=elsewhere).title == "Fwd: Oven"


def test_a_stranger_is_refused_and_may_be_let_in_later(bakery: Client) -> None:
    message, browser = arrive(plain(KIM, "Toner", "Cheap.")), signed_in()
    browser.post(f"/mail/messages/{message.pk}/refuse")
    assert "No stranger waits" in one_line(browser.get("/mail/")) and not Ticket.objects.exists()
    assert "Toner" in one_line(browser.get("/mail/all/", {"state": "dropped"}))
    wrong = browser.post(f"/mail/messages/{message.pk}/let-in", {"client": "Nobody Inc"}, follow=True)
    assert "Nobody Inc" in one_line(wrong) and not Ticket.objects.exists()
    browser.post(f"/mail/messages/{message.pk}/let-in", {"client": "Bakery"})
    assert Ticket.objects.get().title == "Toner"
    assert signed_in(Role.READ_ONLY).post(f"/mail/messages/{message.pk}/refuse").status_code == 403


def test_a_file_is_a_download_that_runs_nowhere(bakery: Client) -> None:
    message, browser = arrive(trapped(KIM, "b")), signed_in()
    files = {one.name: one for one in Attachment.objects.filter(message=message)}
    safe = browser.get(f"/mail/files/{files['jam.png'].pk}")
    assert safe["Content-Type"] == "image/png" and b"".join(safe).startswith(b"\x89PNG")
    assert safe["Content-Disposition"] == 'attachment; filename="jam.png"'
    assert safe["X-Content-Type-Options"] == "nosniff" and "sandbox" in safe["Content-Security-Policy"]
    for name in ("bill.pdf", "logognp.svg"):
        address = f"/mail/files/{files[name].pk}"
        assert browser.get(address)["Location"] == f"/mail/messages/{message.pk}/"
        held = browser.post(address)
        assert (
            held["Content-Type"] == "application/octet-stream" and "attachment" in held["Content-Disposition"]
        )
    taken = JournalEntry.objects.filter(kind="mail.held_file_taken")
    assert taken.count() == 2
    narrow = Browser()
    narrow.force_login(make_person(clients=(make_client(),)))
    assert narrow.get(f"/mail/files/{files['jam.png'].pk}").status_code == 404
    Spool(settings.DATA.mail).blobs.forget(files["jam.png"].digest)
    assert browser.get(f"/mail/files/{files['jam.png'].pk}").status_code == 404


def test_what_did_not_arrive_is_shown_and_sent_to_another_address(bakery: Client) -> None:
    add_contact(EVERYTHING, client=bakery.pk, name="Kim", email=KIM)
    arrive(plain(KIM, "Oven", "It is cold."))
    ticket, now, browser = Ticket.objects.get(), timezone.now(), signed_in()
    reply(EVERYTHING, ticket.pk, text="Press the button.", now=now)
    follow_answers(now=now)
    tried: list[list[str]] = []

    def refuse(mail: object, back: str, to: list[str]) -> None:
        tried.append(to)
        raise NotSent("the server said 550 no such mailbox", permanent=True)

    send_due(now=now, key=KEY, config=settings.CONFIG.mail, send=refuse)
    page = one_line(browser.get("/mail/outgoing/"))
    assert "550 no such mailbox" in page and "Try again" in page and "(" in page
    message = Message.objects.get(entry=Entry.objects.get(kind="reply").pk)
    assert "Given up" in one_line(browser.get(f"/tickets/{ticket.pk}/"))
    bad = browser.post(f"/mail/messages/{message.pk}/again", {"to": "nonsense"}, follow=True)
    assert "is not an e-mail address" in one_line(bad)
    browser.post(f"/mail/messages/{message.pk}/again", {"to": "kim.new@bakery.example"})
    send_due(
        now=timezone.now(), key=KEY, config=settings.CONFIG.mail, send=lambda mail, back, to: tried.append(to)
    )
    assert tried[-1] == ["kim.new@bakery.example"]
    message.refresh_from_db()
    assert message.state == State.SENT
    assert "settled" not in one_line(browser.get("/mail/outgoing/"))


def test_a_mailbox_is_added_tried_and_says_what_is_wrong() -> None:
    browser = signed_in(Role.OWNER)
    given = {"address": SUPPORT, "host": "127.0.0.1", "port": "9", "security": "tls", "user": "support",
             "password": "hush-hush", "folder": "INBOX", "done": ""}  # fmt: skip
    said = one_line(browser.post("/mail/mailboxes/add", given, follow=True))
    assert "nothing listens at 127.0.0.1 port 9" in said and "hush-hush" not in said
    row = Mailbox.objects.get()
    assert is_sealed(row.sealed) and open_sealed(None, f"mailbox:{row.pk}", row.sealed) == "hush-hush"
    place, listed = f"/mail/mailboxes/{row.pk}/", "/mail/mailboxes/"
    assert "Not looked at yet" in one_line(browser.get(listed))
    long_ago = timezone.now() - timedelta(hours=1)
    Mailbox.objects.filter(pk=row.pk).update(well_at=long_ago, looked_at=long_ago, trouble="no answer")
    assert "Silent" in one_line(browser.get(listed))
    browser.post(place + "look")
    row.refresh_from_db()
    assert row.looked_at is None
    browser.post(place + "password", {"password": "other"})
    row.refresh_from_db()
    assert open_sealed(None, f"mailbox:{row.pk}", row.sealed) == "other"
    wrong = one_line(browser.post("/mail/mailboxes/add", given | {"port": "none"}, follow=True))
    assert "Choose tls, starttls or none, and a port" in wrong
    assert "address of ours" in one_line(
        browser.post("/mail/addresses/add", {"address": SUPPORT}, follow=True)
    )
    browser.post(place + "remove")
    assert not Mailbox.objects.exists() and SUPPORT in one_line(browser.get(listed))
    assert signed_in().post("/mail/mailboxes/add", given).status_code == 403


def test_who_is_named_is_told_by_mail_and_answers_with_a_note(bakery: Client) -> None:
    add_contact(EVERYTHING, client=bakery.pk, name="Kim", email=KIM)
    ana: Person = make_person("ana@provider.example")
    arrive(plain(KIM, "Oven", "It is cold."))
    ticket, now = Ticket.objects.get(), timezone.now()
    note(EVERYTHING, ticket.pk, text="@ana please look", now=now)
    assert (follow_mentions(now=now), follow_mentions(now=now)) == (1, 0)
    sent: list[tuple[str, list[str], str]] = []
    send_due(now=now, key=KEY, config=settings.CONFIG.mail,
             send=lambda mail, back, to: sent.append((back, to, mail.get_content())))  # fmt: skip
    (told,) = [one for one in sent if one[1] == [ana.email]]
    assert "please look" in told[2]
    answer = plain(ana.email, "Re: You", "I go there at two.", In_Reply_To=f"<{_identifier(ana.email)}>")
    arrive(answer)
    entry = Entry.objects.filter(ticket=ticket).latest("pk")
    assert entry.kind == "note" and "at two" in entry.text
    reply(EVERYTHING, ticket.pk, text="Ana comes at two.", now=now)
    follow_answers(now=now)
    assert Message.objects.filter(outgoing=True).latest("pk").recipients == [KIM]


def _identifier(to: str) -> str:
    return Message.objects.get(outgoing=True, recipients=[to]).message_id
