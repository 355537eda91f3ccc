"""How far this Mac's clock is off. Ahead is positive, behind negative."""

import re

from forestall.collect.platforms.macos import TIME_SERVER, time_compare
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 600
SPEC = Spec(
    name="time_offset",
    title="Clock",
    about="How far the clock is ahead (or, negative, behind) of the server that it is set by.",
    source="systemsetup(8) -getnetworktimeserver, sntp(1)",
    limits="Nothing when the server does not answer; only root may ask for its name.",
    produces=("time.offset_ms",),
)
ANSWER_S = 10.0
_OFFSET = re.compile(r"(?m)(?:^|\s)([+-]\d+\.\d+) \+/- \d")


def look(view: View) -> Reading:
    """Raises NotHere without a server to compare with."""
    said = view.run(TIME_SERVER, timeout_s=ANSWER_S).decode(errors="replace")
    server = said.partition(":")[2].strip().partition(" ")[0]
    if not server:
        raise NotHere(f"the clock is not set by a server: {said.strip()[:100]}")
    offset_ms = read_offset(view.run(time_compare(server), timeout_s=ANSWER_S).decode(errors="replace"))
    if offset_ms is None:
        raise NotHere(f"{server} does not answer")
    return Reading([view.sample("time.offset_ms", offset_ms)])


def read_offset(answer: str) -> float | None:
    """`+0.012345 +/- 0.023456 time.apple.com 17.253.4.125` is the server's time minus our own, in seconds."""
    found = _OFFSET.search(answer)
    return -float(found[1]) * 1000 if found else None
