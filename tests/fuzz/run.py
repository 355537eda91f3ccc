"""Fuzz every decoder (or those that are named), each for some minutes: `make fuzz MINUTES=3`.

    python tests/fuzz/run.py [--minutes M] [--jobs N] [--keep DIRECTORY] [NAME …]

Each runs in a process of its own with MEMORY_MB and INPUT_S for one input. Prints a line of JSON per target:
inputs tried and, when it crashed, the end of what it said; the input is kept in DIRECTORY. Ends with 1 when
one crashed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

MEMORY_MB = 2048
INPUT_S = 60  # the first input of a kind may be what compiles a loop, on a machine that does other things
INPUT_MAX_BYTES = 4096
STARTING_S = 600  # compiling with checked bounds
TOLD_CHARS = 1500


def fuzz(name: str, *, seconds: int, keep: Path) -> dict[str, object]:
    """Fuzz one target; what came of it."""
    corpus, crashes = keep / "corpus" / name, keep / "crashes" / name
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={INPUT_S}",
        f"-max_len={INPUT_MAX_BYTES}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
    ]
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(keep / "compiled")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("one.py")), name, str(corpus), *options],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + STARTING_S,
        check=False,
        env=os.environ | checked,
    )
    tried = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    told: dict[str, object] = {
        "target": name,
        "inputs": int(tried[1]) if tried else 0,
        "ended": done.returncode,
    }
    if done.returncode:
        told["said"] = (done.stdout + done.stderr)[-TOLD_CHARS:]
    return told


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzzing"))
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings_for_tests")
    from fuzz.targets import TARGETS

    names = given.names or list(TARGETS)
    crashed = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for told in pool.map(
            lambda name: fuzz(name, seconds=round(given.minutes * 60), keep=given.keep.resolve()), names
        ):
            crashed += bool(told["ended"])
            print(json.dumps(told), flush=True)
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
