"""SMTP: does the mail server greet, know EHLO, and offer encryption?"""

from forestall.collect.answers import Answer, NoAnswer, Number, Question, printable, read_place
from forestall.collect.reach import Reach
from forestall.collect.streams import Stream, connected
from forestall.kernel.plugins import Setting, Spec

REPLY_LINES_MAX = 100

SPEC = Spec(
    name="smtp",
    title="Mail server",
    about="Reads the greeting, says EHLO, looks whether STARTTLS is offered, and says goodbye.",
    source="RFC 5321, RFC 3207",
    settings=(
        Setting("starttls", "STARTTLS must be offered", "yes_no", default=False),
        Setting("hello", "Name to say EHLO with", default="forestall.invalid"),
    ),
    limits="Sends no mail and does not sign in.",
    produces=("probe.up", "probe.took_ms", "smtp.code"),
)


async def read_reply(stream: Stream) -> tuple[int, list[str]]:
    """A reply's code and its lines. Raises NoAnswer when it is not one."""
    lines: list[str] = []
    for _ in range(REPLY_LINES_MAX):
        line = printable(await stream.line(), 512)
        lines.append(line)
        if not line[:3].isdecimal() or line[3:4] not in {"", " ", "-"}:
            raise NoAnswer(f"{stream.place} does not speak SMTP: it says {line[:80]!r}", raw="\n".join(lines))
        if line[3:4] != "-":
            return int(line[:3]), lines
    raise NoAnswer(f"{stream.place} sends a reply that never ends", raw="\n".join(lines[:20]))


async def probe(question: Question, reach: Reach) -> Answer:
    """Talk to the mail server at host[:25]."""
    host, port = read_place(question.target, port=25)
    hello = "".join(c for c in question.settings["hello"] if c.isprintable() and c != " ")[:200]
    async with connected(question, reach, host=host, port=port) as stream:
        question.doing(f"waiting for the greeting of {stream.place}")
        code, told = await read_reply(stream)
        if code != 220:
            return Answer(
                False,
                f"{stream.place} takes no mail: {told[-1][:200]}",
                "\n".join(told),
                [Number("smtp.code", code)],
            )
        question.doing(f"waiting for the answer of {stream.place} to EHLO")
        await stream.send(f"EHLO {hello}\r\n".encode())
        code, offers = await read_reply(stream)
        raw = "\n".join([*told, f"> EHLO {hello}", *offers])
        numbers = [Number("smtp.code", code)]
        if code != 250:
            return Answer(False, f"{stream.place} refuses EHLO: {offers[-1][:200]}", raw, numbers)
        await stream.send(b"QUIT\r\n")
        offered = any(line[4:].strip().upper() == "STARTTLS" for line in offers)
        if question.settings["starttls"] and not offered:
            return Answer(
                False, f"{stream.place} takes mail, but offers no encryption (STARTTLS)", raw, numbers
            )
        words = f"{stream.place} takes mail" + (" and offers STARTTLS" if offered else "")
        return Answer(True, words, raw, numbers)
