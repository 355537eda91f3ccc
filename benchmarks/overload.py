"""Ten times what can be taken, for minutes: memory is bounded, what breaks is told, every line counted.

    python benchmarks/overload.py [--minutes 3] [--connections 4] [--udp 300000]

Starts `forestall up` on an empty directory with a queue of a size that fills (QUEUE_BYTES), and offers as
much as the senders can make: syslog over TCP, JSON lines over HTTP, syslog over UDP. After a third of the
time a service that is probed every five seconds is stopped. Prints JSON: offered, taken, turned away (JSON
lines: 429 and 503), dropped by the kernel (UDP, as the console says it), the most memory of each role, how
soon the finding was made. Exit status 1 when accepted + rejected + dropped is not what was sent.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from e2e.flooding import FOUND, Flood, Poster, Service, make_estate, note_memory
from e2e.installation import installed, poll

QUEUE_BYTES = 256 << 20
POSTERS = 2
SETTLE_S = 120.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--tcp", type=int, default=10_000_000, help="lines a second over all connections")
    parser.add_argument("--udp", type=int, default=300_000, help="lines a second")
    given = parser.parse_args()
    seconds, service = given.minutes * 60, Service()
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        data.mkdir()
        (data / "forestall.toml").write_text(f"[limits]\nqueue_max_bytes = {QUEUE_BYTES}\n")
        with installed(data) as up:
            token = make_estate(up, probed_port=service.server_port)
            time.sleep(15)  # until the directory of senders is read again, and the probe was made
            flood = Flood(
                up,
                tcp=given.connections,
                tcp_a_s=max(1, given.tcp // given.connections),
                udp_a_s=given.udp,
                seconds=seconds,
            )
            posters = [Poster(up.port("web"), token, time.monotonic() + seconds) for _ in range(POSTERS)]
            for poster in posters:
                poster.start()
            most, began_s = Counter[str](), time.monotonic()
            stopped_s = told_s = 0.0
            while time.monotonic() - began_s < seconds:
                note_memory(up, most)
                if not stopped_s and time.monotonic() - began_s > seconds / 3:
                    if up.desk.ask(FOUND):
                        raise SystemExit("the service was found wanting before it was stopped")
                    service.stop()
                    stopped_s = time.monotonic()
                if stopped_s and not told_s and up.desk.ask(FOUND):
                    told_s = time.monotonic()
                time.sleep(1)
            tcp, udp = flood.sent()
            for poster in posters:
                poster.join(90)
            if not told_s:
                with suppress(AssertionError):
                    poll(lambda: up.desk.ask(FOUND), within_s=SETTLE_S, what="a finding")
                    told_s = time.monotonic()
            deadline = time.monotonic() + SETTLE_S
            while sum(flood.accounted().values()) < tcp + udp and time.monotonic() < deadline:
                time.sleep(2)
            syslog = flood.accounted()
            pushed = sum((poster.counts for poster in posters), Counter[str]())
            figures = {
                "minutes": given.minutes,
                "sent_tcp": tcp,
                "sent_udp": udp,
                "syslog": syslog,
                "syslog_not_accounted_for": tcp + udp - sum(syslog.values()),
                "sent_json": pushed.pop("sent"),
                "json_by_status": dict(pushed),
                "most_rss_mb": dict(most),
                "finding_after_s": round(told_s - stopped_s, 1) if told_s else None,
            }
    print(json.dumps(figures, indent=1))
    told = figures["finding_after_s"]
    return 1 if figures["syslog_not_accounted_for"] or told is None else 0


if __name__ == "__main__":
    sys.exit(main())
