"""ICMP echo: does the machine answer pings, how fast, how many get lost?"""

import asyncio
import statistics
from weakref import WeakKeyDictionary

from gufo.ping import Ping, SelectionPolicy

from forestall.collect.answers import Answer, NotAsked, Number, Question
from forestall.collect.reach import Reach
from forestall.kernel.plugins import Setting, Spec
from forestall.kernel.words import say_quantity, say_share

COUNT_MAX = 20
GAP_S = 0.1
LOST_AFTER_S = 2.0
GAPS_SHARE = 0.3  # of the time of a try that sending takes at most
WAIT_SHARE = 0.9  # after which what has not come counts as lost, so that the loss is told and not the hurry

SPEC = Spec(
    name="icmp",
    title="Ping",
    about="Sends a few ICMP echo requests. Fails when too many get lost.",
    source="RFC 792, RFC 4443",
    settings=(
        Setting("count", "Pings in a run", "whole", default=4, least=1, most=COUNT_MAX),
        Setting("most_loss_ratio", "Lost, at most", "number", default=0.75, least=0, most=1),
    ),
    limits="Needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range. A ping is lost after 2 s, or when "
    "the time of the try is nearly over.",
    produces=("probe.up", "probe.took_ms", "icmp.loss_ratio", "icmp.rtt_ms"),
)

# One socket for all pings of an event loop: a raw socket hears every answer, so many would multiply the work.
_pings: WeakKeyDictionary[asyncio.AbstractEventLoop, Ping] = WeakKeyDictionary()


def ping_of_this_loop() -> Ping:
    """The socket of all pings of this event loop."""
    loop = asyncio.get_running_loop()
    ping = _pings.get(loop)
    if ping is None:
        ping = _pings[loop] = Ping(policy=SelectionPolicy.RAW_DGRAM, timeout=LOST_AFTER_S)
    return ping


async def probe(question: Question, reach: Reach) -> Answer:
    """Ping host `count` times."""
    address = (await reach.resolve(question.target))[0]
    shown = address if address == question.target else f"{question.target} ({address})"
    count: int = question.settings["count"]
    ping = ping_of_this_loop()
    question.doing(f"pinging {shown}")

    gap_s = min(GAP_S, question.timeout_s * GAPS_SHARE / count)
    patience_s = min(LOST_AFTER_S, question.timeout_s * WAIT_SHARE - gap_s * (count - 1))

    async def once(number: int) -> float | None:
        await asyncio.sleep(number * gap_s)
        # never cancelled: gufo would stumble over the answer that comes late, and lose others' with it
        sent = asyncio.ensure_future(ping.ping(address))
        await asyncio.wait({sent}, timeout=patience_s)
        answer: float | None = sent.result() if sent.done() else None
        return answer

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(once(number)) for number in range(count)]
    except* (PermissionError, NotImplementedError) as failed:
        raise NotAsked(
            "this process may not ping: give it CAP_NET_RAW, or put its group into net.ipv4.ping_group_range"
        ) from failed
    took = [answer * 1000 for task in tasks if (answer := task.result()) is not None]
    loss = 1 - len(took) / count
    raw = "\n".join(
        f"ping {number + 1}: " + ("lost" if (answer := task.result()) is None else f"{answer * 1000:.3f} ms")
        for number, task in enumerate(tasks)
    )
    numbers = [Number("icmp.loss_ratio", loss)]
    if not took:
        return Answer(False, f"{shown} answers none of {count} pings", raw, numbers)
    mean = statistics.fmean(took)
    numbers.append(Number("icmp.rtt_ms", mean))
    ok = loss <= question.settings["most_loss_ratio"]
    words = f"{shown} answers {len(took)} of {count} pings ({say_share(loss)} lost)"
    words += f", in {say_quantity('ms', mean)}"
    return Answer(ok, words, raw, numbers, took_ms=mean)
