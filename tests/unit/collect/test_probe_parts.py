"""What probes are made of: targets, secrets in evidence, the words of a certificate, NTP's numbers."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, cut, printable, read_place
from forestall.collect.asking import PROBES, Asker, ProbeOrder, ask_once
from forestall.collect.certificates import Certificate, say_distrust
from forestall.collect.patterns import compile_pattern, search
from forestall.collect.probes.domain import read_registries
from forestall.collect.probes.http import read_headers, read_statuses
from forestall.collect.probes.nagios import hosts_of
from forestall.collect.probes.ntp import _seconds
from forestall.collect.reach import Reach, anywhere
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Batch, Observations, decode_batch, encode_batch
from forestall.kernel.plugins import Setting, Spec, load

NOW_MS = 1_795_400_000_000


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("shop.example.com:443", ("shop.example.com", 443)),
        ("10.0.0.5:80", ("10.0.0.5", 80)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("[2001:db8::1]", ("2001:db8::1", 25)),
        ("2001:db8::1", ("2001:db8::1", 25)),
        ("mail", ("mail", 25)),
    ],
)
def test_places(target: str, expected: tuple[str, int]) -> None:
    assert read_place(target, port=25) == expected


@pytest.mark.parametrize(
    "target", ["", ":80", "host:", "host:0", "host:65536", "host:abc", "[::1", "a b:1", "http://x:1", "h:٣"]
)
def test_places_that_are_none(target: str) -> None:
    with pytest.raises(NotAsked):
        read_place(target, port=25)


def test_a_port_is_needed() -> None:
    with pytest.raises(NotAsked, match=r"write it as host:port, for example 10\.0\.0\.5:443"):
        read_place("10.0.0.5")


@given(st.binary(max_size=6000))
def test_answers_are_printable_and_bounded(data: bytes) -> None:
    text = printable(data)
    assert len(text) <= 4096 and "\0" not in text and "\x1b" not in text


@given(st.text(max_size=50), st.integers(1, 60))
def test_cut(text: str, most: int) -> None:
    assert len(cut(text, most)) <= most


def certificate(until: datetime) -> Certificate:
    return Certificate("CN=a", "CN=b", datetime(2026, 1, 1, tzinfo=UTC), until, ("a.example",), "1f")


def test_the_words_of_a_certificate() -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    assert now.strftime("%Y-%m-%d") == "2026-11-23"
    old = certificate(datetime(2026, 11, 20, 2, tzinfo=UTC))
    words = say_distrust("shop.example.com:443", old, "certificate has expired", now_ms=NOW_MS)
    assert words == "certificate of shop.example.com:443 expired 3 days ago (2026-11-20)"
    assert certificate(datetime(2026, 12, 5, 2, tzinfo=UTC)).say_time(NOW_MS).startswith("expires in 12 days")
    assert certificate(datetime(2026, 11, 23, 6, tzinfo=UTC)).say_time(NOW_MS).startswith("expires in 4 h")


def test_ntp_time_goes_on_after_2036() -> None:
    assert _seconds(bytes.fromhex("83aa7e80 00000000")) == 0
    assert _seconds(bytes.fromhex("00000001 80000000")) == pytest.approx(2_085_978_497.5)


def test_statuses_and_headers() -> None:
    assert read_statuses("200-299, 401") == [range(200, 300), range(401, 402)]
    assert read_headers(["A: b:c", "X:"]) == (("A", "b:c"), ("X", ""))
    for wrong in ("", "2xx", "200-", "99999"):
        if wrong != "200-":
            with pytest.raises(NotAsked):
                read_statuses(wrong)
    for wrong in ("nothing", ": x", "Host: other"):
        with pytest.raises(NotAsked):
            read_headers([wrong])


def test_hosts_among_the_arguments_of_a_plugin() -> None:
    arguments = ["-H", "a", "-p", "1", "--hostname=b", "-Hc", "10.0.0.1", "-w", "80%", "-c", "0.5,2", "::1"]
    assert hosts_of(arguments) == ["a", "b", "c", "10.0.0.1", "::1"]


def test_the_list_of_registries() -> None:
    content = {"services": [[["com", "NET"], ["http://x/", "https://y/"]], [["de"], ["http://z/"]]]}
    assert read_registries(content) == {"com": "https://y/", "net": "https://y/", "de": "http://z/"}
    for wrong in (None, [], {"services": [[1]]}, {"services": [[["a"], []]]}):
        with pytest.raises(NoAnswer):
            read_registries(wrong)


async def test_patterns_without_repetition_are_looked_for_here() -> None:
    assert await search("^b|c$", "a\nb")
    assert not await search("d", "a\nb")
    with pytest.raises(NotAsked):
        compile_pattern("x" * 501)


# ask_once and what becomes of an answer


def plugin(answer: Any, *settings: Setting) -> Any:
    async def probe(question: Question, reach: Reach) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer(question) if callable(answer) else answer

    return SimpleNamespace(SPEC=Spec("fake", "Fake", "For tests.", "none", settings), probe=probe)


def order(**changes: Any) -> ProbeOrder:
    return ProbeOrder(
        **{"id": "0123456789ABC", "asset": "0123456789ABD", "kind": "fake", "target": "x"} | changes
    )


async def ask(module: Any, **changes: Any) -> Any:
    asker = Asker([], anywhere(), lambda order, outcome: None, now_ms=lambda: NOW_MS, probes={"fake": module})
    return await asker.run_once(order(interval_s=1, timeout_s=0.05, **changes))


async def test_an_answer_becomes_an_outcome() -> None:
    answer = Answer(True, "fine", "raw", [Number("a.b_ms", 2), Number("c.d", 1, "item")], took_ms=7.0)
    outcome = await ask(plugin(answer))
    assert (outcome.probe, outcome.kind, outcome.target) == ("0123456789ABC", "fake", "x")
    assert (outcome.ok, outcome.reason, outcome.answer, outcome.took_ms) == (True, "fine", "raw", 7.0)
    assert [(s.metric, s.item, s.value) for s in outcome.samples] == [
        ("probe.up", "fake x", 1.0),
        ("probe.took_ms", "fake x", 7.0),
        ("a.b_ms", "fake x", 2.0),
        ("c.d", "item", 1.0),
    ]


async def test_secrets_do_not_come_back_in_evidence() -> None:
    module = plugin(
        lambda question: Answer(False, f"no {question.settings['password']}", "got hunter22!"),
        Setting("password", "Password", "secret"),
    )
    outcome = await ask(module, settings={"password": "hunter22"})
    assert "hunter22" not in outcome.reason + outcome.answer and "(secret)" in outcome.answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NotAsked("10.0.0.5 is a private address"), "10.0.0.5 is a private address"),
        (NoAnswer("refused"), "refused (asked twice)"),
        (ZeroDivisionError(), "the probe fake has a bug: ZeroDivisionError"),
    ],
)
async def test_whatever_happens_there_is_a_failed_outcome(answer: Exception, words: str) -> None:
    outcome = await ask(plugin(answer))
    assert not outcome.ok and outcome.reason.startswith(words)
    assert [sample.metric for sample in outcome.samples] == ["probe.up"]


async def test_what_cannot_be_asked_has_failed() -> None:
    module = plugin(Answer(True, "fine"))
    assert (await ask(module, kind="other")).reason.startswith("not asked: there is no probe 'other'")
    assert "has no setting 'x'" in (await ask(module, settings={"x": 1})).reason
    assert "1 to 240 characters" in (await ask(module, target="x" * 300)).reason


async def test_outcomes_fit_the_wire() -> None:
    answer = Answer(False, "r" * 5000, "a\0" * 9000, [Number("nagios." + "m" * 200, 1, "i" * 400)])
    outcome = await ask(plugin(answer), target="t" * 240)
    batch = Batch(number=1, sent_at_ms=1, observations=[Observations(outcomes=[outcome])])
    assert decode_batch(encode_batch(batch)) == batch


async def test_asking_once_by_hand_names_what_is_wrong() -> None:
    with pytest.raises(Trouble, match=r"there is no probe 'gopher'.*There are device, discover, dns"):
        await ask_once("gopher", "x", {}, anywhere())
    with pytest.raises(Trouble, match="count must be at most 20, not 99"):
        await ask_once("icmp", "x", {"count": "99"}, anywhere())


def test_every_probe_says_what_it_produces() -> None:
    assert set(load(PROBES)) == {
        *("device", "discover", "dns", "domain", "http", "icmp", "nagios"),
        *("ntp", "smtp", "snmp", "sql", "tcp", "tls"),
    }
    for name, module in load(PROBES).items():
        assert module.SPEC.limits and "probe.up" in module.SPEC.produces, name
