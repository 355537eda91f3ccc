"""What a running agent costs: memory and processor of `forestall agent run`, and of the agent alone.

Its server does not answer, so it looks, spools and tries to send.
Run: python benchmarks/agent_memory.py [seconds]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RUNS = 3
CLI = "from forestall.processes.cli import main; import sys; sys.argv[1:] = ['agent', 'run']; main()"
WAYS = {
    "forestall agent run": ("-c", CLI),
    "python -m forestall.collect.agent run": ("-m", "forestall.collect.agent", "run"),
}


def run(arguments: tuple[str, ...], seconds: float) -> tuple[float, float]:
    """Resident megabytes and CPU seconds after so long."""
    with tempfile.TemporaryDirectory() as home:
        agent = Path(home) / "agent"
        agent.mkdir(mode=0o700)
        identity = {"collector": "C" * 13, "client": "K" * 13, "asset": "A" * 13, "key": "07" * 32}
        identity |= {"url": "http://127.0.0.1:9", "key_since_s": time.time()}
        (agent / "identity.json").write_text(json.dumps(identity))
        process = subprocess.Popen(
            [sys.executable, *arguments], env=os.environ | {"FORESTALL_DATA": home},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        seen = psutil.Process(process.pid)
        resident, times = seen.memory_info().rss / 1e6, seen.cpu_times()
        process.terminate()
        process.wait()
        return resident, times.user + times.system


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 12.0
    found = {}
    for name, arguments in WAYS.items():
        runs = [run(arguments, seconds) for _ in range(RUNS)]
        found[name] = {
            "resident_mb": round(statistics.median(mb for mb, _ in runs), 1),
            "cpu_s": round(statistics.median(cpu for _, cpu in runs), 2),
            "after_s": seconds,
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
