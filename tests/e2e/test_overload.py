"""More than an installation can take: its memory is bounded, what breaks meanwhile is found, and every line
is accepted, rejected or dropped (for minutes: benchmarks/overload.py)."""

import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.flooding import FOUND, Flood, Poster, Service, make_estate, note_memory
from e2e.installation import installed, poll

pytestmark = pytest.mark.e2e

QUEUE_BYTES = 16 << 20
FLOOD_S = 3.0
TOLD_S = 60.0  # what is promised
SLOW_S = 120.0  # what a loaded machine may take for the rest
MEMORY_MAX_MB = 3000
PROBED = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
answered = "metric = 'probe.up' AND value = 1"
return int(store.select(f"SELECT count() FROM forestall.samples WHERE {{answered}}")[0][0])
"""


def test_more_than_can_be_taken_is_counted_and_hides_nothing(tmp_path: Path) -> None:
    data, service = tmp_path / "data", Service()
    data.mkdir(mode=0o700)
    (data / "forestall.toml").write_text(f"[limits]\nqueue_max_bytes = {QUEUE_BYTES}\n")
    with installed(data) as up:
        token = make_estate(up, probed_port=service.server_port)
        poll(lambda: up.desk.ask(PROBED.format(port=up.port("store"))), within_s=SLOW_S, what="a probe")
        assert not up.desk.ask(FOUND)
        flood = Flood(up, tcp=1, tcp_a_s=200_000, udp_a_s=200_000, seconds=FLOOD_S)
        poster, most = Poster(up.port("web"), token, time.monotonic() + FLOOD_S), Counter[str]()
        poster.start()
        service.stop()

        def found() -> str | None:
            note_memory(up, most)
            reason: str | None = up.desk.ask(FOUND)
            return reason

        poll(found, within_s=TOLD_S, what="the service that stopped is found", every_s=0.5)
        sent = sum(flood.sent())
        poll(lambda: sum(flood.accounted().values()) == sent, within_s=SLOW_S, what="every line is counted")
        poster.join(SLOW_S)
        pushed = poster.counts
        print(f"{sent} lines of syslog: {flood.accounted()}; as JSON: {dict(pushed)}; memory {dict(most)}")
        assert pushed["sent"] == sum(number for what, number in pushed.items() if what != "sent")
        assert pushed["503"] or flood.accounted()["udp_dropped"], "it was more than could be taken"
        assert not pushed["unanswered"]
        assert max(most.values()) < MEMORY_MAX_MB
