"""What a message says, whatever it is made of: nothing breaks the reader, nothing that it shows can run, and
what a person wrote is told apart from what they quote and sign with."""

import random
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.mail.decide import decide_kind
from forestall.mail.folding import fold
from forestall.mail.pages import ATTRIBUTES, TAGS, make_safe
from forestall.mail.parts import part_of
from forestall.mail.reading import read_message
from forestall.mail.values import Arrived, Content, Facts, Kind
from mail_messages import (
    SUPPORT,
    TRAPS,
    UNSAFE,
    bounce,
    head,
    invitation,
    no_end,
    plain,
    png,
    raw,
    round_trip,
    russian_doll,
    split_word,
    trapped,
    unknown_charset,
    winmail,
    wrong_charset,
)

JANE = "jane@bramble.example"
ARRIVED = Arrived(
    received_at_ms=0, peer="192.0.2.1", helo="", sender=JANE, recipients=(SUPPORT,), digest="0" * 64, size=1
)
ALL = {
    "split": split_word(JANE, "a"),
    "wrong": wrong_charset(JANE, "b"),
    "unknown": unknown_charset(JANE, "c"),
    "no end": no_end(JANE, "d"),
    "doll": russian_doll(JANE, "e"),
    "traps": trapped(JANE, "f"),
    "invitation": invitation(JANE, "g"),
    "bounce": bounce("<of@us.example>", "h", to=SUPPORT),
    "winmail": winmail(JANE, "i"),
    "hops": round_trip(JANE, "j", hops=41),
    "plain": plain(JANE, "Hello", "There."),
}
# Pieces of which hostile HTML is made.
PIECES = st.sampled_from(
    [
        "<script>",
        "</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<a href='",
        "'>",
        '"',
        ">",
        "<",
        "javascript:alert(1)",
        "&#106;avascript:",
        "jav\tascript:",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<math>",
        "<style>",
        "</style>",
        "<noscript>",
        '<p title="',
        "<table><td colspan=9>",
        "<b",
        "</b>",
        "&lt;script&gt;",
        "&amp;lt;",
        "<iframe srcdoc='",
        "<base href=//e>",
        "<form action=x>",
        "<input autofocus onfocus=x>",
        "<a href='https://a@b/?\"><script>'>",
        "\0",
        "\u202e",
        "words",
        " ",
        "\n",
        "<textarea>",
        "</p>",
        "<img alt='",
        "data:text/html,<script>",
        "<object data=",
        "<h1 style=x>",
        '<a href="https://e/&quot; onclick=&quot;x">',
    ]
)


def read(raw: bytes) -> tuple[Facts, Content]:
    return read_message(raw, ARRIVED, key=b"k" * 32)


def strings(thing: object) -> Iterator[str]:
    """Every text in values of values."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict):
        yield from strings((*thing, *thing.values()))
    elif isinstance(thing, tuple):
        for one in thing:
            yield from strings(one)
    elif is_dataclass(thing):
        for one in fields(thing):
            yield from strings(getattr(thing, one.name))


class Shown(HTMLParser):
    """What a browser would make of a page; fails for what may not be there."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS - {"img"}, tag
        for name, value in attrs:
            assert name in {"class", "rel"} | ATTRIBUTES.get(tag, set()), (tag, name)
            if name == "href":
                assert re.match(r"(?:https?|mailto):", value or "", re.I), value


def shown(page: str) -> None:
    """A page is safe as a browser reads it."""
    parser = Shown(convert_charrefs=True)
    parser.feed(page)
    parser.close()


def test_the_traps_are_gone_and_the_words_are_there() -> None:
    page, why = make_safe(TRAPS)
    assert not why and "printer jams" in page and not [one for one in UNSAFE if one in page.lower()]
    assert "bank.example [evil.example]" in page  # a link says where it leads
    shown(page)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=12))
def test_no_page_runs_loads_or_asks_anything(pieces: list[str]) -> None:
    page, _ = make_safe("".join(pieces))
    shown(page)


@pytest.mark.parametrize("page", ["<b>" * 300, "<i>x</i>" * 30_000, "x" * 600_000, "&" * 30_000])
def test_what_takes_long_is_not_laid_out(page: str) -> None:
    safe, why = make_safe(page)
    assert safe == "" and why


def test_broken_messages_say_what_can_be_known() -> None:
    assert read(ALL["split"])[0].subject == "Принтер не печатает"
    facts, content = read(ALL["wrong"])
    assert facts.subject == "Zähler läuft rückwärts" and "rückwärts – seit gestern" in content.said
    assert any("charset" in note for note in content.notes)
    assert [part.name for part in read(ALL["doll"])[1].parts] == ["message.eml"]
    assert [(part.name, part.data) for part in read(ALL["winmail"])[1].parts] == [
        ("till.csv", b"a;b\r\n1;2\r\n")
    ]
    assert read(ALL["bounce"])[0].report_of == ("of@us.example",)
    assert read(ALL["traps"])[0].subject.startswith("<script>")  # a word like another; the page escapes it


def test_a_charset_with_a_nul_in_it_loses_no_words() -> None:
    kind = 'text/plain; charset="utf\0-8"\nContent-Transfer-Encoding: 8bit'
    facts, content = read(raw(head(JANE, "Odd", "odd", kind=kind), "Zähler".encode()))
    assert facts.subject == "Odd" and "Zähler" in content.said


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32))
def test_whatever_arrives_something_is_read(name: str, seed: int) -> None:
    """Bytes cut out, doubled, turned: no exception, bounded content, a page that is safe."""
    dice, data = random.Random(seed), bytearray(ALL[name][:6_000])
    for _ in range(dice.randrange(1, 12)):
        at = dice.randrange(len(data))
        match dice.randrange(3):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                del data[at : at + dice.randrange(80)]
            case _:
                data[at:at] = data[at : at + dice.randrange(200)]
        data = data or bytearray(b"x")
    facts, content = read(bytes(data))
    decide_kind(facts)
    assert "\n" not in facts.subject and len(content.parts) <= 50
    shown(content.page)
    for text in strings((facts, content)):
        assert "\0" not in text and text.encode().decode() == text  # what PostgreSQL and UTF-8 can keep


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, Kind.PERSON),
        ({"Auto_Submitted": "auto-replied"}, Kind.AUTO_REPLY),
        ({"Auto_Submitted": "no"}, Kind.PERSON),
        ({"Auto_Submitted": "auto-generated; x=1"}, Kind.MACHINE),
        ({"X_Autoreply": "yes"}, Kind.AUTO_REPLY),
        ({"X_Auto_Response_Suppress": "DR, OOF, AutoReply"}, Kind.MACHINE),
        ({"X_Auto_Response_Suppress": "OOF"}, Kind.PERSON),
        ({"Precedence": "bulk"}, Kind.LIST),
        ({"List_Unsubscribe": "<mailto:off@list.example>"}, Kind.LIST),
    ],
)
def test_machines_are_told_from_people(headers: dict[str, str], kind: Kind) -> None:
    assert decide_kind(read(plain(JANE, "Hello", "There.", **headers))[0])[0] is kind


@pytest.mark.parametrize(
    "subject", ["Automatic reply: printer", "Abwesenheitsnotiz: Drucker", "Réponse automatique : imprimante"]
)
def test_vacation_programs_without_a_header_are_told_by_their_words(subject: str) -> None:
    assert decide_kind(read(plain(JANE, subject, "I am away."))[0])[0] is Kind.AUTO_REPLY
    assert decide_kind(read(plain(JANE, f"About the {subject}", "Why?"))[0])[0] is Kind.PERSON


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "It works.\n\nOn Mon, 23 Nov 2026 at 10:00, Support\n<support@p.example> wrote:\n> Try it.",
            "It works.",
        ),
        ("Geht.\n\nAm 23.11.2026 um 10:00 schrieb Support:\n> Versuch es.", "Geht."),
        ("Done.\n-- \nJane Bramble\nBramble Books", "Done."),
        ("Yes.\n\n-----Original Message-----\nFrom: Support\nSent: Monday\nSubject: x", "Yes."),
        ("Oui.\n\nDe : Support\nEnvoyé : lundi\nÀ : Jane\nObjet : x\n\nEssayez.", "Oui."),
        ("> You asked: which one?\nThe left one.\n> And since when?\nMonday.", "The left one.\nMonday."),
        ("From: here to there it is far.\nTwo lines.", "From: here to there it is far.\nTwo lines."),
    ],
)
def test_what_is_quoted_and_signed_is_folded_away(text: str, said: str) -> None:
    assert fold(text) == said


def test_folding_a_hostile_text_is_linear() -> None:
    assert len(fold("On " * 100_000 + "\n" + "> " * 50_000)) <= 400_000
    assert fold("\n".join(["From: x", "To: y"] * 9_000)) is not None


@pytest.mark.parametrize(
    ("name", "data", "held"),
    [
        ("jam.png", png(), ""),
        ("jam.png.exe", b"MZ\x90\x00", "Windows program"),
        ("notes.txt", b"MZ\x90\x00", "Windows program"),
        ("run.txt", b"#!/bin/sh\nrm -rf /", "script"),
        ("page.html", b"<html><script>x</script>", "html"),
        ("jam.jpg", b"<svg xmlns='x'><script/></svg>", "scripts"),
        ("list.xlsm", b"PK\x03\x04" + b"\0" * 30, "macros"),
        ("scan.pdf", png(), "its bytes say"),
    ],
)
def test_files_are_what_their_bytes_are(name: str, data: bytes, held: str) -> None:
    part = part_of(data, name=name, claimed="application/octet-stream")
    assert (held in part.held) if held else not part.held
