"""DNS: does a name server answer, and with what it should?"""

import asyncio
import time

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, cut, read_place, say_place
from forestall.collect.reach import Reach
from forestall.collect.streams import say_failure
from forestall.kernel.plugins import Setting, Spec
from forestall.kernel.words import say_list

TYPES = ("A", "AAAA", "MX", "NS", "TXT", "CNAME", "SOA", "PTR", "SRV", "CAA", "DS", "TLSA")
SERVERS_MAX = 3
RCODES = {
    "NXDOMAIN": "does not exist",
    "SERVFAIL": "could not be resolved (the name server failed)",
    "REFUSED": "is refused",
}

SPEC = Spec(
    name="dns",
    title="DNS name",
    about="Asks a name server for a record, and compares the answers with those expected.",
    source="RFC 1035",
    settings=(
        Setting("type", "Record type", "choice", default="A", choices=TYPES),
        Setting("server", "Name server", help="host or host:port; empty: those that this machine uses"),
        Setting("expect", "Expected answers", "lines", default=(), help="One a line; all must be among them"),
        Setting("only", "No other answers", "yes_no", default=False),
    ),
    limits="UDP, then TCP when the answer was cut. DNSSEC is not checked.",
    produces=("probe.up", "probe.took_ms", "dns.answers_count"),
)


async def _servers(question: Question, reach: Reach) -> list[tuple[str, int]]:
    """Whom to ask. This machine's own name servers were chosen by its administrator: they need no reach."""
    if given := question.settings["server"]:
        host, port = read_place(given, port=53)
        return [((await reach.resolve(host))[0], port)]
    try:
        own = [str(server) for server in dns.resolver.Resolver().nameservers]
    except (dns.exception.DNSException, OSError) as error:
        raise NotAsked(f"this machine has no name servers of its own: {error}") from error
    return [(server, 53) for server in own[:SERVERS_MAX]]


async def _ask(
    question: Question, query: dns.message.Message, *, address: str, port: int
) -> dns.message.Message:
    place = say_place(address, port)
    question.doing(f"waiting for the name server {place}")
    try:
        reply, _ = await dns.asyncquery.udp_with_fallback(query, address, port=port)
    except OSError as error:
        raise NoAnswer(say_failure(error, f"the name server {place}")) from error
    except EOFError as error:
        raise NoAnswer(f"the name server {place} hung up without an answer") from error
    except dns.exception.DNSException as error:
        raise NoAnswer(f"the name server {place} answers, but not in DNS ({type(error).__name__})") from error
    return reply


async def probe(question: Question, reach: Reach) -> Answer:
    """Ask for the records of a name."""
    settings = question.settings
    try:
        name = dns.name.from_text(question.target.strip())
        query = dns.message.make_query(name, settings["type"], use_edns=0, payload=1232)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise NotAsked(f"{question.target!r} is not a DNS name: {error}") from error
    servers = await _servers(question, reach)
    failure = NoAnswer("this machine has no name servers of its own")
    wait_s = question.timeout_s * 0.9 / max(len(servers), 1)  # so that it is told which one was silent
    for address, port in servers:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(wait_s):
                reply = await _ask(question, query, address=address, port=port)
        except TimeoutError:
            failure = NoAnswer(
                f"no answer from the name server {say_place(address, port)} within {wait_s:.3g} s"
            )
        except NoAnswer as error:
            failure = error
        else:
            took_ms = (time.perf_counter() - begun) * 1000
            return _judge(question, reply, server=say_place(address, port), took_ms=took_ms)
    raise failure


def _judge(question: Question, reply: dns.message.Message, *, server: str, took_ms: float) -> Answer:
    kind: str = question.settings["type"]
    wanted = dns.rdatatype.from_text(kind)
    found = sorted(
        record.to_text() for answer in reply.answer if answer.rdtype == wanted for record in answer
    )
    raw = cut(f"server {server}\n{reply.to_text()}")
    numbers = [Number("dns.answers_count", len(found))]
    rcode = dns.rcode.to_text(reply.rcode())
    name = question.target.strip()
    if rcode != "NOERROR":
        why = f"{name} {RCODES.get(rcode, 'is not answered')}, says {server} ({rcode})"
        return Answer(False, why, raw, numbers, took_ms)
    if not found:
        return Answer(False, f"{name} has no {kind} record, says {server}", raw, numbers, took_ms)
    have = {_plain(text) for text in found}
    expected = {_plain(text): text for text in question.settings["expect"]}
    missing = [text for plain, text in expected.items() if plain not in have]
    said = say_list([cut(text, 100) for text in found])
    if missing:
        why = f"{kind} of {name} is {said}; expected {say_list(missing)} is missing, says {server}"
        return Answer(False, why, raw, numbers, took_ms)
    if question.settings["only"] and (others := have - expected.keys()):
        why = f"{kind} of {name} has unexpected answers: {say_list(sorted(others))}, says {server}"
        return Answer(False, why, raw, numbers, took_ms)
    return Answer(True, f"{kind} of {name} is {said}, says {server}", raw, numbers, took_ms)


def _plain(text: str) -> str:
    """To compare without case, final dots and quotes: `10 Mail.example.com.` is `10 mail.example.com`."""
    return " ".join(word.strip('"').removesuffix(".").lower() for word in text.split())
