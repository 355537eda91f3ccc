"""The store is stopped for minutes while lines come: intake goes on, and is caught up afterwards.

    python benchmarks/store_stopped.py [--minutes 10] [--rate 50000] [--how stop|kill] [--after 10]

Starts `forestall up` on an empty directory, sends numbered syslog lines over TCP at a steady rate and some
over RELP, which are acknowledged, stops the store (SIGSTOP; or SIGKILL whenever it is there) for so many
minutes, and goes on sending until the store has caught up. Prints JSON: lines acknowledged over RELP
meanwhile, the most that the queue and each role took, how fast the store caught up while lines went on
coming, lines missing and twice. Exit status 1 when a line is missing or twice.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from e2e.installation import Installation, installed
from e2e.killing import process_of
from e2e.load import RELP_NAME, RelpLoad, count_lines

FLOOD = Path(__file__).parent.parent / "tests/e2e/flood.py"
NEAR_S = 3.0  # the store is caught up when it is not later than this
RELP_A_S = 200
SOURCE = "127.0.0.9"
CATCH_UP_MAX_S = 1200.0
COUNTED_MAX_S = 600.0
STORED = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
return int(store.select("SELECT count() FROM forestall.logs")[0][0])
"""


class Most:
    """The most that was seen of each thing."""

    def __init__(self, up: Installation) -> None:
        self._up = up
        self.rss_mb: dict[str, int] = {}
        self.queue_mb = 0

    def look(self) -> None:
        for role in ("watch", "web", "store", "guard"):
            with suppress(psutil.Error):
                if pid := process_of(self._up, role):
                    size = psutil.Process(pid).memory_info().rss >> 20
                    self.rss_mb[role] = max(self.rss_mb.get(role, 0), size)
        size = 0
        for path in (self._up.data / "queue").glob("*/*.segment"):
            with suppress(OSError):
                size += path.stat().st_size
        self.queue_mb = max(self.queue_mb, size >> 20)


def hold(up: Installation, how: str, seconds: float, most: Most) -> None:
    """Keep the store from working for so long."""
    until = time.monotonic() + seconds
    stopped = process_of(up, "store")
    if how == "stop":
        os.kill(stopped, signal.SIGSTOP)
    while time.monotonic() < until:
        if how == "kill" and (pid := process_of(up, "store")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        most.look()
        time.sleep(0.5)
    if how == "stop":
        os.kill(stopped, signal.SIGCONT)


def stored(up: Installation) -> int:
    """Lines in the store; -1 while it does not answer."""
    try:
        return int(up.desk.ask(STORED.format(port=up.port("store"))))
    except AssertionError:
        return -1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=50_000, help="lines a second")
    parser.add_argument("--how", choices=("stop", "kill"), default="stop")
    parser.add_argument(
        "--after", type=float, default=0.0, help="minutes that lines go on; by default as many"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, installed(Path(directory) / "data") as up:
        up.cli("client", "add", "Benchmark")
        up.cli("asset", "add", "Sender", "--client", "Benchmark", "--kind", "server", "--address", SOURCE)
        time.sleep(12)  # until the directory of senders is read again
        most = Most(up)
        relp = RelpLoad(up.port("relp"), a_s=RELP_A_S, source=SOURCE)
        relp.start()
        hold_s = given.minutes * 60
        flood_s = 5 + hold_s + (given.after or given.minutes) * 60  # goes on while the store catches up
        flood = subprocess.Popen(
            [
                sys.executable,
                str(FLOOD),
                "tcp",
                str(up.port("syslog")),
                str(given.rate),
                str(flood_s),
                SOURCE,
            ],
            stdout=subprocess.PIPE,
        )
        time.sleep(5)
        before = relp.acknowledged
        hold(up, given.how, hold_s, most)
        acknowledged = relp.acknowledged - before
        began_s, first = time.monotonic(), -1
        while first < 0:
            first = stored(up)
        answered_s = time.monotonic()
        late_s = float("inf")
        while late_s > NEAR_S and time.monotonic() - began_s < CATCH_UP_MAX_S:
            time.sleep(1)
            most.look()
            late_s = float(up.role("watch").get("numbers", {}).get("store_delay_s", late_s))
            if up.role("watch").get("at", 0) < time.time() - 5:
                late_s = float("inf")
        caught_s, caught = time.monotonic(), stored(up)
        coming = flood.poll() is None
        said = json.loads(flood.communicate()[0])
        sent_relp = relp.finish(120)
        deadline = time.monotonic() + COUNTED_MAX_S
        while (found := count_lines(up, "flood", said["sent"]))[3] < said[
            "sent"
        ] and time.monotonic() < deadline:
            time.sleep(2)
        of_relp = count_lines(up, RELP_NAME, sent_relp)
        rate = (caught - first) / (caught_s - answered_s)
        figures = {
            "store": "SIGSTOP" if given.how == "stop" else "SIGKILL again and again",
            "minutes": given.minutes,
            "lines_a_s": given.rate,
            "sent": said["sent"],
            "relp_acknowledged_meanwhile": acknowledged,
            "relp_offered_meanwhile": round(RELP_A_S * hold_s),
            "most_queue_mb": most.queue_mb,
            "most_rss_mb": most.rss_mb,
            "answers_again_after_s": round(answered_s - began_s, 1),
            "caught_up_after_s": round(caught_s - began_s, 1),
            "lines_went_on_coming": coming,
            "caught_up_at_lines_a_s": round(rate),
            "times_the_arrival": round(rate / given.rate, 2),
            "missing": said["sent"] - found[3] + sent_relp - of_relp[3],
            "copies": found[2] - found[3] + of_relp[2] - of_relp[3],
        }
    print(json.dumps(figures, indent=1))
    return 1 if figures["missing"] or figures["copies"] else 0


if __name__ == "__main__":
    sys.exit(main())
