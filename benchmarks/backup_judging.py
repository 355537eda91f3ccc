"""How long a backup plan is judged, and how well: CPU ms a plan with 400 runs, false alarms, what is
found.

Plans of the unit tests' world (`tests/unit/judge/backup_world.py`): nightly runs with growth, weekends,
holidays, uploads, clean-ups, renamed folders, slow nights, pruning and drills. Prints JSON. Run: python
benchmarks/backup_judging.py [plans] [seed]
"""

import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / "unit" / "judge")]

from backup_world import DAY, HOUR, World, found  # noqa: E402
from test_backups_clean import FAULTS, KEEPS  # noqa: E402

NIGHTS = 200
RUNS = 400


def plan_of(rng: random.Random) -> World:
    """A plan of any size and schedule."""
    return World(
        seed=rng.getrandbits(32),
        tool=rng.choice(["restic", "borg", "archive"]),
        files=int(50 * 10 ** rng.uniform(0, 3.9)),
        size=5e6 * 10 ** rng.uniform(0, 5.9),
        keep=rng.choice(KEEPS),
        every_days=rng.choice([1, 1, 1, 2, 7]),
    )


def cpu_ms() -> dict[str, float]:
    """CPU ms to judge a plan with 400 runs and as many looks, by what is wrong with it."""
    results = {}
    for name, given in (("sound", {}), ("empty source for 30 nights", FAULTS["empty source"][1])):
        world = World(seed=3).nights(RUNS - 30)
        for _ in range(30):
            world.night(**(given(world) if callable(given) else {}))
        taken = []
        for _ in range(7):
            began = time.process_time()
            for _ in range(20):
                world.judge()
            taken.append((time.process_time() - began) / 20 * 1000)
        results[name] = round(statistics.median(taken), 2)
    return results


def false_alarms(plans: int, rng: random.Random) -> dict[str, Any]:
    """Findings of plans that are sound, each judged after every fourth night and at a random hour."""
    judged, told, days = 0, 0, 0
    rules: dict[str, int] = {}
    for _ in range(plans):
        world = plan_of(rng)
        wrong = set()
        for night in range(NIGHTS):
            world.night()
            if night % 4 == 3 or night < 3:
                judged += 1
                wrong |= set(found(world.judge(after_ms=rng.randrange(24 * world.every_days - 10) * HOUR)))
        days += NIGHTS * world.every_days
        told += bool(wrong)
        for rule in wrong:
            rules[rule] = rules.get(rule, 0) + 1
    return {
        "plans": plans,
        "runs": plans * NIGHTS,
        "plan_days": days,
        "judged": judged,
        "plans_with_a_finding": told,
        "rules": rules,
    }


def detection(times: int, rng: random.Random) -> dict[str, Any]:
    """How many of the faults are found at the next judging, by exactly their rule."""
    results = {}
    for name, (rule, given) in sorted(FAULTS.items()):
        right = only = 0
        for _ in range(times):
            world = plan_of(rng).nights(rng.randrange(12, 80))
            world.night(**given(world))
            told = set(
                found(world.judge(after_ms=world.every_days * DAY // 2 if rule == "backup-overdue" else 0))
            )
            right += rule in told
            only += told - {"backup-last-good-copy"} == {rule}
        results[name] = {"found": right / times, "alone": only / times}
    return results


def main() -> None:
    plans = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    said = {
        "cpu_ms_a_plan_of_400_runs": cpu_ms(),
        "false_alarms": false_alarms(plans, rng),
        "detection": detection(max(10, plans // 6), rng),
    }
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
