"""A client writes to support: a ticket of the right person; the answer leaves in the same thread, and what
comes back lands on it. What a stranger or a machine writes opens nothing, nothing is relayed, two programs
that answer each other come to an end, and of a set of hard messages nothing is lost and nothing runs."""

import json
import re
import smtplib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from e2e.installation import poll
from e2e.mail_site import ANEW, ECHO, JANE, OMAR, Site, mail_site, shell
from mail_messages import (
    SUPPORT,
    UNSAFE,
    bounce,
    invitation,
    large,
    no_end,
    plain,
    round_trip,
    russian_doll,
    signed,
    split_word,
    trapped,
    unknown_charset,
    winmail,
    wrong_charset,
)

pytestmark = pytest.mark.e2e
WITHIN_S = 90
WHO = "who@elsewhere.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with mail_site(tmp_path_factory.mktemp("mail") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def looping(site: Site) -> Site:
    """The site, and two programs outside that have begun to answer whatever it says."""
    site.post(plain(ECHO, "The door bell", "It rings by itself.", name="bell"), sender=ECHO)
    site.post(plain(ANEW, "The lift", "It is stuck.", name="lift"), sender=ANEW)
    return site


def ticket_of(site: Site, number: int) -> dict[str, Any]:
    return next(one for one in site.tickets() if one["number"] == number)


def test_a_mail_becomes_a_ticket_and_its_answers_stay_in_the_thread(site: Site) -> None:
    site.post(
        plain(JANE, "The scanner is gone", "Since this morning nothing scans.", name="first"), sender=JANE
    )
    (ticket,) = poll(site.tickets, within_s=WITHIN_S, what="a ticket")
    assert ticket["title"] == "The scanner is gone" and ticket["reporter"] == "Jane Bramble"
    assert ticket["client"] == "Bramble Books" and "nothing scans" in ticket["lines"][0][1]
    told = poll(lambda: site.outside.to(JANE), within_s=WITHIN_S, what="the word that we have it")[0]
    assert f"#{ticket['number']}" in told.get_content() and "<first@client.example>" in told["References"]
    assert told["Auto-Submitted"].startswith("auto")

    site.up.desk.ask(
        f"""
        from django.utils import timezone
        from forestall.estate.tenancy import system_scope
        from forestall.tickets.working import reply
        reply(system_scope("ana"), {ticket["id"]!r}, text="Please switch it off and on.", now=timezone.now())
        """
    )
    said = poll(lambda: site.outside.to(JANE)[1:], within_s=WITHIN_S, what="the answer")[0]
    assert "switch it off" in said.get_content() and "<first@client.example>" in said["References"]
    answer = plain(
        JANE, "Re: anything", "That helped, thank you!\n\n> Please switch it off", name="second",
        In_Reply_To=said["Message-ID"],
    )  # fmt: skip
    site.post(answer, sender=JANE)
    (ticket,) = poll(
        lambda: [one for one in site.tickets() if one["lines"][-1][0] == "mail_in"],
        within_s=WITHIN_S,
        what="her line",
    )
    assert ticket["lines"][-1][1] == "That helped, thank you!" and len(site.tickets()) == 1


def hard(site: Site) -> dict[str, tuple[bytes, str, str, str]]:
    """By identifier: the message, from whom, by which way, and what becomes of it."""
    told, said = site.outside.to(JANE)[:2]
    token = re.search(r"\+([a-z0-9]{29})@", said["Reply-To"])
    assert token
    direct = f"support+{token[1]}@provider.example"
    failed = b"Authentication-Results: mx.provider.example; dmarc=fail header.from=bramble.example\n"
    away = {"Auto_Submitted": "auto-replied", "In_Reply_To": said["Message-ID"]}
    return {
        "split": (split_word(JANE, "split"), JANE, "smtp", "taken person"),
        "wrong": (wrong_charset(JANE, "wrong"), JANE, "imap", "taken person"),
        "unknown": (unknown_charset(JANE, "unknown"), JANE, "imap", "taken person"),
        "no-end": (no_end(JANE, "no-end"), JANE, "imap", "taken person"),
        "doll": (russian_doll(JANE, "doll"), JANE, "smtp", "taken person"),
        "trap": (trapped(JANE, "trap"), JANE, "imap", "taken person"),
        "invitation": (invitation(JANE, "invitation"), JANE, "smtp", "taken invitation"),
        "accepted": (invitation(JANE, "accepted", method="REPLY"), JANE, "imap", "ignored invitation_answer"),
        "winmail": (winmail(JANE, "winmail"), JANE, "imap", "taken person"),
        "signed": (signed(JANE, "signed", "These words are signed."), JANE, "smtp", "taken person"),
        "opaque": (signed(JANE, "opaque", "These are inside.", opaque=True), JANE, "imap", "taken person"),
        "encrypted": (signed(JANE, "encrypted", "Hidden.", encrypted=True), JANE, "smtp", "taken person"),
        "large": (large(JANE, "large", size=30_000_000), JANE, "smtp", "taken person"),
        "round": (round_trip(JANE, "round", hops=41), JANE, "imap", "ignored loop"),
        "ours": (told.as_bytes(), JANE, "smtp", "ignored loop"),
        "away": (plain(JANE, "I am away", "Until Monday.", name="away", **away), JANE, "imap",
                 "taken auto_reply"),
        "empty": (plain(JANE, "Paper is low", "Tray 2", name="empty"), "", "smtp", "taken machine"),
        "list": (plain(JANE, "News", "All!", name="list", List_Id="<n.example>"), JANE, "imap",
                 "ignored list"),
        "subject": (plain(JANE, "Re: The scanner is gone", "Another one.", name="subject"), JANE, "smtp",
                    "taken person"),
        "forged": (failed + plain(JANE, "Pay this", "Now.", name="forged"), WHO, "imap", "stranger person"),
        "display": (plain(f'"{JANE}" <{WHO}>', "It is me", "Jane", name="display"), WHO, "smtp",
                    "stranger person"),
        "refers": (plain(WHO, "Re: scanner", "Me too.", name="refers", References="<first@client.example>"),
                   WHO, "imap", "stranger person"),
        "token": (plain(WHO, "From my phone", "It is back.", name="token", to=direct), WHO, "imap",
                  "taken person"),
        "other": (plain(OMAR, "Re: scanner", "What is it?", name="other", to=direct), OMAR, "smtp",
                  "stranger person"),
        "bounce": (bounce(said["Message-ID"], "bounce", to=direct), "", "smtp", "taken bounce"),
    }  # fmt: skip


def test_hard_messages_lose_nothing_run_nothing_and_reach_the_right_person(looping: Site) -> None:
    site = looping
    first = next(one["number"] for one in site.tickets() if one["title"] == "The scanner is gone")
    sent = hard(site)
    for raw, sender, way, _ in sent.values():
        if way == "smtp":
            site.post(raw, sender=sender)
    site.post(sent["split"][0], sender=JANE)  # a server that did not hear our 250 sends it again
    site.imap.put(sent["split"][0], *(raw for raw, _, way, _ in sent.values() if way == "imap"))
    with pytest.raises(smtplib.SMTPResponseException) as too_large:
        site.post(b"x" * 76 + large(JANE, "larger", size=36_000_000), sender=JANE)
    assert too_large.value.smtp_code == 552
    hosts = {"bounce": "mx.bramble.example"}
    ids = {name: f"{name}@{hosts.get(name, 'client.example')}" for name in sent}
    ids["ours"] = site.outside.to(JANE)[0]["Message-ID"].strip("<>")
    site.up.desk.ask(
        """
        from forestall.estate.tenancy import system_scope
        from forestall.mail.models import Mailbox
        Mailbox.objects.of(system_scope("test")).update(looked_at=None)
        """
    )
    came = poll(
        lambda: (now := site.messages()).keys() >= set(ids.values()) and now,
        within_s=WITHIN_S,
        what="all of them",
    )
    poll(lambda: not site.waiting() and not site.imap.count(), within_s=WITHIN_S, what="empty mailboxes")
    assert site.imap.count("Done") == 1 + sum(way == "imap" for _, _, way, _ in sent.values())
    became = {name: f"{came[ids[name]]['state']} {came[ids[name]]['kind']}" for name in sent}
    assert became == {name: wanted for name, (_, _, _, wanted) in sent.items()}
    got = {name: came[identifier] for name, identifier in ids.items()}

    new = {name for name, one in got.items() if one["ticket"] and one["ticket"] != first}
    on_first = {name for name, one in got.items() if one["ticket"] == first}
    assert on_first == {"away", "token", "bounce"} and len({got[name]["ticket"] for name in new}) == len(new)
    assert all(ticket_of(site, got[name]["ticket"])["reporter"] == "Jane Bramble" for name in new)
    assert got["token"]["contact"] == "" and "no contact" in got["token"]["why"]
    assert {got[name]["ticket"] for name in ("forged", "display", "refers", "other")} == {0}
    assert "DMARC" in got["forged"]["why"] and "another client" in got["other"]["why"]
    lines = ticket_of(site, first)["lines"]
    assert [kind for kind, text in lines if "Until Monday" in text or "mailbox is full" in text] == [
        "note",
        "note",
    ]
    assert site.count(state="bounced", outgoing=True) == 1
    reads(got)


def reads(got: dict[str, dict[str, Any]]) -> None:
    """What a person sees of the hard messages."""
    assert got["split"]["subject"] == "Принтер не печатает" and "принтер молчит" in got["split"]["said"]
    assert got["wrong"]["subject"] == "Zähler läuft rückwärts" and "rückwärts – seit" in got["wrong"]["said"]
    assert got["unknown"]["subject"] == "Gerät piept" and "Gerät" in got["unknown"]["said"]
    assert "lights of the switch" in got["no-end"]["said"] and "a.bin" in got["no-end"]["files"]
    assert "message.eml" in got["doll"]["files"]
    assert "What: Move the server room" in got["invitation"]["said"]
    assert "till froze" in got["winmail"]["said"] and got["winmail"]["files"]["till.csv"] == [10, ""]
    assert "words are signed" in got["signed"]["said"] and "signed" in got["signed"]["signed"]
    assert "These are inside" in got["opaque"]["said"]
    assert "encrypted" in got["encrypted"]["signed"] and "smime.p7m" in got["encrypted"]["files"]
    assert got["large"]["files"]["ledger.tif"][0] > 22_000_000
    page, files = got["trap"]["page"].lower(), got["trap"]["files"]
    assert "printer jams" in page and not [one for one in UNSAFE if one in page]
    assert "evil.example" in page and "tracker.example, not loaded" in page
    assert "Windows program" in files["bill.pdf"][1] and files["logognp.svg"][1] and not files["jam.png"][1]


def test_strangers_wait_until_somebody_says_whose_they_are(site: Site) -> None:
    site.post(plain(WHO, "Cheap toner", "Buy now.", name="toner"), sender=WHO)
    poll(lambda: "toner@client.example" in site.messages(), within_s=WITHIN_S, what="the message")
    assert "Cheap toner" not in [one["title"] for one in site.tickets()] and not site.outside.to(WHO)
    waiting = json.loads(shell(site.up.data, "strangers", "--json"))
    (stranger,) = [one for one in waiting if one["subject"] == "Cheap toner"]
    shell(site.up.data, "assign", stranger["message"], "--client", "Bramble Books")
    assert "Cheap toner" in [one["title"] for one in site.tickets()]
    assert len(json.loads(shell(site.up.data, "strangers", "--json"))) == len(waiting) - 1


def test_two_programs_that_answer_each_other_come_to_an_end(looping: Site) -> None:
    """One answers in the thread: its answer is a line that nobody acknowledges. One writes anew each time:
    after five acknowledgements there is nothing more for it to answer."""
    site = looping
    poll(lambda: site.count(sender=ANEW) == 6, within_s=WITHIN_S, what="five answers")
    poll(lambda: site.count(sender=ECHO) == 2, within_s=WITHIN_S, what="the echo")
    poll(lambda: not site.count(outgoing=True, state="due"), within_s=WITHIN_S, what="nothing left to send")
    poll(lambda: not site.waiting(), within_s=WITHIN_S, what="nothing left to take in")
    assert (len(site.outside.to(ANEW)), len(site.outside.to(ECHO))) == (5, 1)
    (bell,) = [one for one in site.tickets() if "door bell" in one["title"]]
    assert bell["lines"][-1][0] == "mail_in" and "Thank you" in bell["lines"][-1][1]


def test_a_contact_gets_into_the_portal_by_a_link_that_came_by_mail(site: Site) -> None:
    before = len(site.outside.to(OMAR))
    with httpx.Client(base_url=site.up.url, follow_redirects=True, timeout=60) as browser:

        def press(path: str, **fields: str) -> httpx.Response:
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(path).text)
            assert token
            fields["csrfmiddlewaretoken"] = token[1]
            return browser.post(path, data=fields, headers={"Referer": f"{site.up.url}{path}"})

        assert "on its way" in press("/portal/sign-in/", email=OMAR).text
        (mail,) = poll(lambda: site.outside.to(OMAR)[before:], within_s=WITHIN_S, what="the link")
        link = re.search(r"/portal/sign-in/[\w-]+/", mail.get_content())
        assert link and mail["Auto-Submitted"] == "auto-generated"
        inside = press(link[0])
        assert inside.status_code == 200 and inside.url.path == "/portal/" and 'name="text"' in inside.text
        assert browser.get(link[0]).status_code == 410
        assert "The scanner" not in browser.get("/portal/tickets/").text


def test_nothing_is_relayed(site: Site) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        site.post(plain(JANE, "Pass this on", "please"), sender=JANE, to="somebody@elsewhere.example")
    assert SUPPORT in shell(site.up.data, "list")
