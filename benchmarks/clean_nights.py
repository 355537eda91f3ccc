"""Nights of a sound plan with a real tool: what its natural variation finds (nothing may be).

Each night goes the way of the product: the job runs through `forestall agent job` into a real repository,
the agent's own scheduler looks every few nights, and the judge judges every night at the time of that night.
Work days grow, weekends and a holiday are quiet, files are renamed and removed, once somebody uploads much.
Days are played: the tool is told the time of its copy. `--nights`, `--tool restic|borg`, `--seed`.
Prints JSON.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from drill import quiet

from forestall.collect.jobs import borg, restic
from forestall.judge.backups import Cadence
from gauntlet.ground import DAY_MS, Ground

LOOK_EVERY = 3
UPLOAD_AT, HOLIDAY_AT, TIDY_AT = 0.45, 0.6, 0.75  # of all nights


def work(source: Path, night: int, nights: int, chance: random.Random) -> None:
    """A day of work at the source."""
    at = night / nights
    if night % 7 in (5, 6) or HOLIDAY_AT <= at < HOLIDAY_AT + 0.05:
        return
    files = sorted(one for one in source.rglob("*.doc"))
    folder = source / f"month {night // 30}"
    folder.mkdir(exist_ok=True)
    for number in range(chance.randint(0, 6)):
        text = " ".join(chance.choices(WORDS, k=chance.randint(50, 4_000)))
        (folder / f"letter {night}-{number}.doc").write_text(text)
    for path in chance.sample(files, min(len(files), chance.randint(0, 8))):
        with path.open("a") as file:
            file.write(" ".join(chance.choices(WORDS, k=chance.randint(5, 500))))
    if files and chance.random() < 0.2:
        path = chance.choice(files)
        path.rename(path.with_name(f"filed {path.name}"))
    if len(files) > 40 and chance.random() < 0.2:
        chance.choice(files[:20]).unlink(missing_ok=True)
    if night == int(UPLOAD_AT * nights):  # pictures, which do not pack
        for number in range(len(files) // 2):
            (folder / f"picture {number}.jpg").write_bytes(os.urandom(40_000))
    if night == int(TIDY_AT * nights):
        for path in files[: len(files) // 5]:
            path.unlink(missing_ok=True)


WORDS = ["order", "invoice", "of", "the", "a", "customer", "delivery", "thanks", "please", "item", "price"]


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--nights", type=int, default=200)
    reading.add_argument("--tool", choices=["restic", "borg"], default="restic")
    reading.add_argument("--seed", type=int, default=1)
    given = reading.parse_args()
    chance = random.Random(given.seed)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name, quiet():
        ground = Ground(Path(name), {"restic": restic, "borg": borg}[given.tool])
        ground.site.source.joinpath("month 0").mkdir()
        for number in range(60):
            text = " ".join(chance.choices(WORDS, k=chance.randint(50, 4_000)))
            (ground.site.source / f"old {number}.doc").write_text(text)
        ground.began_ms -= given.nights * DAY_MS
        for night in range(given.nights):
            ground.day = given.nights - night - 1
            work(ground.site.source, night, given.nights, chance)
            code, run = ground.night()
            assert code == 0 and run.said == "success", run
            if night % LOOK_EVERY == 0 or night == given.nights - 1:
                asyncio.run(ground.look())
            for rule, reason in ground.found(days_later=-ground.day).items():
                found.setdefault(rule, f"night {night}: {reason}")
        proof = asyncio.run(ground.prove("drill"))
        left = ground.verdict(cadences=[Cadence(level=4, every_ms=7 * DAY_MS)])
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        json.dumps(
            {
                "tool": given.tool, "nights": given.nights, "looks": len(ground.looks), "findings": found,
                "files": ground.runs[-1].files, "proved": proof.ok, "level": left.ladder.highest,
                "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
            }, indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
