"""Nothing acknowledged is lost, and nothing is there twice, however often roles are killed.

    python benchmarks/kills.py [--kills 200] [--relp 1000] [--agent 200] [--seed 1]

Starts `forestall up` on an empty directory, sends numbered lines at a steady rate over RELP and as an
enrolled agent, and kills `watch`, `store` and `web` with SIGKILL in random order, at work and while they
start. Then waits until everything is acknowledged and stored. Prints JSON: lines sent, acknowledged, in the
store, missing, copies (of RELP, of the agent), kills of each role. Exit status 1 when a line is missing or
twice.
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

from e2e.installation import Installation, installed
from e2e.killing import kill_at_random
from e2e.load import AGENT_NAME, RELP_NAME, AgentLoad, RelpLoad, count_lines, list_copies

DRAIN_S = 300.0
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
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--relp", type=int, default=1000, help="lines a second")
    parser.add_argument("--agent", type=int, default=200, help="lines a second")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, installed(Path(directory) / "data") as up:
        up.cli("client", "add", "Benchmark")
        up.cli(
            "asset", "add", "Sender", "--client", "Benchmark", "--kind", "server", "--address", "127.0.0.9"
        )
        relp = RelpLoad(up.port("relp"), a_s=given.relp, source="127.0.0.9")
        agent = AgentLoad(
            up,
            Path(directory) / "agent",
            client="Benchmark",
            lines=LINES_A_BATCH,
            every_s=LINES_A_BATCH / given.agent,
        )
        relp.start()
        agent.start()
        began_s = time.monotonic()
        killed = kill_at_random(up, random.Random(given.seed), kills=given.kills)
        took_s = time.monotonic() - began_s
        sent_relp, sent_agent = relp.finish(DRAIN_S), agent.finish(DRAIN_S)
        figures = {
            "kills": killed,
            "seconds": round(took_s),
            "relp_sessions": relp.sessions,
            "relp_not_acknowledged": sent_relp - relp.acknowledged,
            "agent_not_acknowledged": agent.waiting_lines,
            "agent_said": agent.said[-5:],
            "relp": counted(up, RELP_NAME, sent_relp),
            "agent": counted(up, AGENT_NAME, sent_agent),
        }
        (Path(tempfile.gettempdir()) / "forestall-kills.output").write_bytes(up.output.read_bytes())
    print(json.dumps(figures, indent=1))
    wrong = sum(figures[name][what] for name in ("relp", "agent") for what in ("missing", "copies"))  # type: ignore[index]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
