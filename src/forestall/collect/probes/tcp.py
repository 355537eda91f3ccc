"""TCP: does something accept connections, and say what it should?"""

import asyncio

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Question, printable, read_place
from forestall.collect.reach import Reach
from forestall.collect.streams import connected, say_failure
from forestall.kernel.plugins import Setting, Spec

BANNER_MAX_BYTES = 8192
SEND_MAX_CHARS = 1000

SPEC = Spec(
    name="tcp",
    title="TCP port",
    about="Connects to a port. With an expected banner it also reads until that text comes.",
    source="RFC 9293",
    settings=(
        Setting("banner", "Expected text", help="Text that must come, for example SSH-2.0"),
        Setting("send", "Say first", help=r"Text to send before reading; \r and \n mean the line end"),
    ),
    limits=f"Reads at most {BANNER_MAX_BYTES} bytes.",
    produces=("probe.up", "probe.took_ms"),
)


async def probe(question: Question, reach: Reach) -> Answer:
    """Connect to host:port; with `banner` read until it comes."""
    host, port = read_place(question.target)
    banner: str = question.settings["banner"] or ""
    send: str = question.settings["send"] or ""
    if len(send) > SEND_MAX_CHARS:
        raise NotAsked(f"the setting send has more than {SEND_MAX_CHARS} characters")
    async with connected(question, reach, host=host, port=port) as stream:
        if not banner and not send:
            return Answer(True, f"{stream.place} accepts connections")
        if send:
            await stream.send(send.replace("\\r", "\r").replace("\\n", "\n").encode())
        if not banner:
            return Answer(True, f"{stream.place} accepts connections and data")
        came = b""
        wanted = banner.encode()
        question.doing(f"waiting for {banner[:60]!r} from {stream.place}")
        try:
            while wanted not in came and len(came) < BANNER_MAX_BYTES:
                async with asyncio.timeout(question.timeout_s * 0.8):  # so that what came is still told
                    more = await stream.reader.read(BANNER_MAX_BYTES - len(came))
                if not more:
                    break
                came += more
        except TimeoutError:
            if not came:
                raise NoAnswer(
                    f"{stream.place} accepts connections, but says nothing (expected {banner[:60]!r})"
                ) from None
        except OSError as error:
            raise NoAnswer(say_failure(error, stream.place), raw=printable(came)) from error
        if wanted in came:
            return Answer(True, f"{stream.place} says {banner[:60]!r}", printable(came))
        seen = printable(came[:80]) or "nothing"
        return Answer(
            False, f"{stream.place} does not say {banner[:60]!r}; it says {seen!r}", printable(came)
        )
