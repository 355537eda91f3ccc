"""TLS: is the certificate of a port trusted, for the right name, and how long does it last?"""

from collections.abc import Mapping

from forestall.collect.answers import Answer, NoAnswer, Number, Question, printable, read_place
from forestall.collect.certificates import say_distrust
from forestall.collect.reach import Reach
from forestall.collect.streams import Prelude, Stream, connected_with_tls
from forestall.kernel.plugins import Setting, Spec

REPLY_LINES_MAX = 50

SPEC = Spec(
    name="tls",
    title="Certificate",
    about="Connects with TLS and reads the certificate: trusted, for this name, and its last day.",
    source="RFC 8446, RFC 5280, RFC 3207 and RFC 9051 (STARTTLS)",
    settings=(
        Setting("starttls", "STARTTLS", "choice", default="none", choices=("none", "smtp", "imap")),
        Setting("verify", "Must be trusted", "yes_no", default=True),
        Setting("ca", "Further trusted authorities", help="Certificates in PEM form"),
    ),
    limits="Looks at the server's own certificate, not at those of its authorities. No revocation check.",
    produces=("probe.up", "probe.took_ms", "certificate.days_left"),
)


async def _smtp(stream: Stream) -> None:
    for command in (b"", b"EHLO forestall.invalid\r\n", b"STARTTLS\r\n"):
        if command:
            await stream.send(command)
        for _ in range(REPLY_LINES_MAX):
            line = await stream.line()
            if line[3:4] != b"-":
                break
        if not line.startswith(b"2"):
            raise NoAnswer(
                f"{stream.place} refuses STARTTLS over SMTP: {printable(line, 200)}", raw=printable(line)
            )


async def _imap(stream: Stream) -> None:
    greeting = await stream.line()
    if not greeting.startswith(b"* OK"):
        raise NoAnswer(f"{stream.place} does not speak IMAP: {printable(greeting, 200)}")
    await stream.send(b"a STARTTLS\r\n")
    for _ in range(REPLY_LINES_MAX):
        line = await stream.line()
        if line.startswith(b"a "):
            break
    if not line.upper().startswith(b"A OK"):
        raise NoAnswer(f"{stream.place} refuses STARTTLS over IMAP: {printable(line, 200)}")


PRELUDES: Mapping[str, tuple[Prelude | None, int]] = {
    "none": (None, 443),
    "smtp": (_smtp, 25),
    "imap": (_imap, 143),
}


async def probe(question: Question, reach: Reach) -> Answer:
    """Look at the certificate of host:port."""
    settings = question.settings
    prelude, usual = PRELUDES[settings["starttls"]]
    host, port = read_place(question.target, port=usual)
    named = f"{host}:{port}"
    async with connected_with_tls(
        question,
        reach,
        host=host,
        port=port,
        trust=settings["ca"] or "",
        verify=settings["verify"],
        prelude=prelude,
    ) as stream:
        certificate = stream.certificate
        if certificate is None:
            raise NoAnswer(f"{stream.place} shows no certificate")
        now_ms = question.now_ms()
        days = certificate.days_left(now_ms)
        numbers = [Number("certificate.days_left", days, named)]
        raw = f"{stream.place}\n{certificate.text}"
        if stream.distrust:
            why = say_distrust(named, certificate, stream.distrust, now_ms=now_ms)
            return Answer(False, why, raw, numbers)
        return Answer(days >= 0, f"certificate of {named} {certificate.say_time(now_ms)}", raw, numbers)
