"""How often the likeliest suspect is the cause: seeded problems with confounding changes.

The generator and all that it assumes: `tests/unit/judge/suspect_world.py`. Weights were set on seeds below
10,000; what is reported begins at 50,000. Named: the first suspect has at least half of all odds.
Prints JSON.
Run: python benchmarks/suspects.py [problems] [first seed]
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / "unit" / "judge")]

from suspect_world import make_problem  # noqa: E402

from forestall.judge.suspects import rank_suspects  # noqa: E402

FIRST_SEED = 50_000


def measure(problems: int, first: int) -> dict[str, Any]:
    """Shares over problems that have a cause we could see, and precision and recall of what is named."""
    top = three = caused = named = right = 0
    candidates, taken = [], []
    for seed in range(first, first + problems):
        problem = make_problem(seed)
        began = time.process_time()
        ranked = rank_suspects(problem.scene)
        taken.append((time.process_time() - began) * 1000)
        ids = [one.id for one in ranked]
        near = problem.scene.onset_ms - 48 * 3_600_000
        candidates.append(sum(near < one.at_ms for one in problem.scene.candidates))
        if problem.truth:
            caused += 1
            top += ids[:1] == [problem.truth]
            three += problem.truth in ids[:3]
        if ranked and ranked[0].clear:
            named += 1
            right += ids[0] == problem.truth
    return {
        "problems": problems,
        "seeds": f"{first} to {first + problems - 1}",
        "with_a_cause_that_was_seen": caused,
        "changes_in_48_h_median": statistics.median(candidates),
        "top": round(top / caused, 3),
        "in_first_three": round(three / caused, 3),
        "named": named,
        "precision": round(right / max(1, named), 3),
        "recall": round(right / caused, 3),
        "cpu_ms_median": round(statistics.median(taken), 2),
    }


def main() -> None:
    problems = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else FIRST_SEED
    print(json.dumps(measure(problems, first), indent=1))


if __name__ == "__main__":
    main()
