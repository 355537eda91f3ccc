"""How far this Windows' clock is off. Ahead is positive, behind negative."""

import re

from forestall.collect.platforms.decoding import to_text
from forestall.collect.platforms.windows import time_compare, time_source
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 600
SPEC = Spec(
    name="time_offset",
    title="Clock",
    about="How far the clock is ahead (or, negative, behind) of the server that it is set by.",
    source="w32tm(1) /query /source, /stripchart /dataonly",
    limits="Nothing where the clock is set by the hardware or a virtual host, or its server does not answer.",
    produces=("time.offset_ms",),
)
ANSWER_S = 15.0
_OFFSET = re.compile(r"(?m)^\s*\d{1,2}[:.]\d\d[:.]\d\d.*?, ([+-]\d+[.,]\d+)s")


def look(view: View) -> Reading:
    """Raises NotHere without a server to compare with."""
    source = to_text(view.run(time_source(), timeout_s=ANSWER_S)).strip().partition("\n")[0]
    server = source.strip().partition(",")[0]
    if not server or " " in server:  # "Local CMOS Clock", "VM IC Time Synchronization Provider", an error
        raise NotHere(f"the clock is not set by a server: {source[:100]}")
    offset_ms = read_offset(to_text(view.run(time_compare(server), timeout_s=ANSWER_S)))
    if offset_ms is None:
        raise NotHere(f"{server} does not answer")
    return Reading([view.sample("time.offset_ms", offset_ms)])


def read_offset(answer: str) -> float | None:
    """`09:12:33, -00.0123456s` is the server's time minus our own; None with an error in its place."""
    found = _OFFSET.search(answer)
    return -float(found[1].replace(",", ".")) * 1000 if found else None
