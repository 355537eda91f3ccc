"""Nothing acknowledged is lost when the power is cut.

    python benchmarks/power.py [--cuts 20] [--keep .5] [--relp 500] [--agent 100] [--seed 1]

Starts `forestall up` on a file system that forgets what was not synced (tests/power_fs.py: queue, business
database, telemetry, keys, all), sends numbered lines over RELP and as an enrolled agent, and cuts the power
at random moments: every process ends at once, and of what was not synced nothing is left (every second cut)
or a random part. After each cut the database's pages and the whole journal are verified. Prints JSON; exit
status 1 when an acknowledged line is missing or twice, or something does not verify.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from e2e.cutting import cut_and_start, verified
from e2e.installation import Installation
from e2e.load import AGENT_NAME, RELP_NAME, AgentLoad, RelpLoad, count_lines, list_copies
from power import power_disk

DRAIN_S = 180.0
LINES_A_BATCH = 20


def counted(up: Installation, source: str, sent: int) -> dict[str, Any]:
    """Wait until the store has all that was sent; what it has."""
    deadline = time.monotonic() + DRAIN_S
    while (found := count_lines(up, source, sent))[3] < sent and time.monotonic() < deadline:
        time.sleep(1)
    there, _, below, different = found
    return {
        "sent_and_acknowledged": sent,
        "in_the_store": there,
        "missing": sent - different,
        "copies": below - different,
        "which": list_copies(up, source),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--keep", type=float, default=0.5, help="of what was not synced, at every second cut")
    parser.add_argument("--relp", type=int, default=500, help="lines a second")
    parser.add_argument("--agent", type=int, default=100, help="lines a second")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as directory, power_disk(Path(directory) / "power") as disk:
        home = Path(directory)
        up = Installation(disk.place / "data", output=home / "output.0")
        try:
            up.wait_ready()
            up.cli("client", "add", "Benchmark")
            up.cli(
                "asset",
                "add",
                "Sender",
                "--client",
                "Benchmark",
                "--kind",
                "server",
                "--address",
                "127.0.0.9",
            )
            relp = RelpLoad(up.port("relp"), a_s=given.relp, source="127.0.0.9")
            every_s = LINES_A_BATCH / given.agent
            agent = AgentLoad(up, home / "agent", client="Benchmark", lines=LINES_A_BATCH, every_s=every_s)
            relp.start()
            agent.start()
            wrong: list[str] = []
            for cut in range(given.cuts):
                time.sleep(dice.uniform(0.5, 5))
                keep = given.keep if cut % 2 else 0.0
                up = cut_and_start(up, disk, keep=keep, seed=cut, output=home / f"output.{cut + 1}")
                wrong += verified(up)
            sent_relp, sent_agent = relp.finish(DRAIN_S), agent.finish(DRAIN_S)
            figures = {
                "cuts": given.cuts,
                "relp_not_acknowledged": sent_relp - relp.acknowledged,
                "agent_not_acknowledged": agent.waiting_lines,
                "agent_said": agent.said[-5:],
                "does_not_verify": wrong,
                "relp": counted(up, RELP_NAME, sent_relp),
                "agent": counted(up, AGENT_NAME, sent_agent),
            }
        finally:
            up.stop()
            for path in sorted(home.glob("output.*")):
                sys.stderr.write(f"--- {path.name}\n{path.read_text()}")
    print(json.dumps(figures, indent=1))
    lines = sum(figures[name][what] for name in ("relp", "agent") for what in ("missing", "copies"))  # type: ignore[index]
    return 1 if lines or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
