"""How well log templates are found, and how fast: on the ten samples of Loghub, with one configuration.

    python benchmarks/templates.py [--samples ARCHIVE] [--lines 200000] [--held-out] [--json]

ARCHIVE holds `<set>/<name>_2k.log_structured.csv`. The scores are those of the field: GA (lines whose group
is exactly a true one), FGA (the same over groups, F1), PA (lines whose template is exactly the true one), FTA
(groups whose lines and template are). Templates are compared without regard to how many variables stand next
to each other. Lines are learned in their order, 200 at a time, as they would come; then the sample is
repeated up to LINES and read from bytes, for the speed. `--held-out`: for each sample the one of CHOICES is
taken that does best on the nine others (GA + FGA + FTA), and scored on that sample alone.
"""

import argparse
import csv
import io
import json
import re
import statistics
import tarfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from forestall.kernel.shapes import scan, shape_text
from forestall.kernel.templates import WAYS, Templates, Ways

SAMPLES = Path(__file__).parents[2] / "shared/bench/data/loghub_2k_10sets.tar.xz"
AT_ONCE = 200
BATCH = 50_000
CHOICES = tuple(
    Ways(words, values, first) for words in (2, 3, 4, 6, 10) for values in (2, 4) for first in (4, 12, 30)
)
_TOGETHER = re.compile(r"<\*>(?:[^\sA-Za-z0-9<>]*<\*>)*")
_IN_A_ROW = re.compile(r"<\*>(?: <\*>)+")


def read_samples(archive: Path) -> dict[str, dict[str, list[tuple[str, str, str]]]]:
    """Set → name → its lines: message, true event, true template."""
    found: dict[str, dict[str, list[tuple[str, str, str]]]] = defaultdict(dict)
    with tarfile.open(archive) as whole:
        for member in whole:
            if not member.name.endswith(".csv"):
                continue
            body = whole.extractfile(member)
            assert body is not None
            rows = csv.DictReader(io.StringIO(body.read().decode(), newline=""))
            kind, _, name = member.name.removeprefix("./").partition("/")
            found[kind][name.partition("_")[0]] = [
                (row["Content"], row["EventId"], row["EventTemplate"]) for row in rows
            ]
    return found


def same(text: str) -> str:
    """A template in the one spelling in which it is compared."""
    return _IN_A_ROW.sub("<*>", " ".join(_TOGETHER.sub("<*>", text).split()))


def score(lines: list[tuple[str, str, str]], ways: Ways = WAYS) -> tuple[float, float, float, float]:
    """GA, FGA, PA, FTA."""
    shapes = [shape_text(message) or message for message, _, _ in lines]
    templates = Templates(ways=ways)
    for begin in range(0, len(shapes), AT_ONCE):
        templates.learn(dict.fromkeys(shapes[begin : begin + AT_ONCE]))
    got = [templates.of(shape) for shape in shapes]
    true: defaultdict[str, list[int]] = defaultdict(list)
    ours: defaultdict[int, list[int]] = defaultdict(list)
    for place, ((_, event, _), template) in enumerate(zip(lines, got, strict=True)):
        true[event].append(place)
        ours[template.fingerprint].append(place)
    groups = {tuple(places) for places in true.values()}
    right = [places for places in ours.values() if tuple(places) in groups]
    exact = [same(template.text) == same(line[2]) for line, template in zip(lines, got, strict=True)]
    whole = len(ours) + len(true)
    return (
        sum(map(len, right)) / len(lines),
        2 * len(right) / whole,
        sum(exact) / len(lines),
        2 * sum(exact[places[0]] for places in right) / whole,
    )


def speed(lines: list[tuple[str, str, str]], count: int) -> float:
    """CPU seconds a million lines: bytes in, a fingerprint for each out."""
    repeated = [lines[place % len(lines)][0].encode() for place in range(count)]
    batches = [repeated[begin : begin + BATCH] for begin in range(0, count, BATCH)]
    given = []
    for batch in batches:
        ends = np.cumsum([len(line) for line in batch])
        given.append(
            (np.frombuffer(b"".join(batch), np.uint8), np.concatenate(([0], ends[:-1])), ends, batch)
        )
    scan(*given[0][:3])  # compiled before it is measured
    begun = time.process_time()
    templates = Templates()
    texts: dict[int, str] = {}
    for data, start, end, batch in given:
        numbers, first, place = np.unique(
            scan(data, start, end).numbers, return_index=True, return_inverse=True
        )
        for number, where in zip(numbers.tolist(), first.tolist(), strict=True):
            if number not in texts:
                message = batch[where].decode()
                texts[number] = shape_text(message) or message
        templates.learn(texts[number] for number in numbers.tolist())
        fingerprints = np.array([templates.of(texts[n]).fingerprint for n in numbers.tolist()], np.uint64)[
            place
        ]
        assert len(fingerprints) == len(batch)
    return (time.process_time() - begun) / count * 1e6


def held_out(named: dict[str, list[tuple[str, str, str]]]) -> dict[str, tuple[Ways, tuple[float, ...]]]:
    """Name → the choice that does best on all others, and its scores on this one."""
    scores = {choice: {name: score(lines, choice) for name, lines in named.items()} for choice in CHOICES}
    found: dict[str, tuple[Ways, tuple[float, ...]]] = {}
    for name in named:

        def of_others(choice: Ways, name: str = name) -> float:
            return sum(one[0] + one[1] + one[3] for other, one in scores[choice].items() if other != name)

        best = max(CHOICES, key=of_others)
        found[name] = best, scores[best][name]
    return found


def main() -> None:
    """Print the scores of each sample and their means, and the speed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--samples", type=Path, default=SAMPLES)
    arguments.add_argument("--lines", type=int, default=200_000)
    arguments.add_argument("--held-out", action="store_true")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    found: dict[str, object] = {}
    for kind, named in read_samples(given.samples).items():
        scores = {name: score(lines) for name, lines in sorted(named.items())}
        means = [statistics.fmean(one[place] for one in scores.values()) for place in range(4)]
        if given.held_out:
            chosen = held_out(named)
            means = [statistics.fmean(one[place] for _, one in chosen.values()) for place in range(4)]
            scores = {name: one for name, (_, one) in chosen.items()}
            found[f"{kind}: chosen on the others"] = {
                name: tuple(choice) for name, (choice, _) in chosen.items()
            }
        costs = {name: speed(lines, given.lines) for name, lines in sorted(named.items())}
        found[kind] = {
            "scores": scores, "GA, FGA, PA, FTA": means, "CPU s a million lines": costs,
            "median CPU s a million lines": statistics.median(costs.values()),
        }  # fmt: skip
        if not given.json:
            for name, one in scores.items():
                shown = "  ".join(f"{number:.3f}" for number in one)
                print(f"{kind}  {name:12}  {shown}  {costs[name]:.2f} CPU s a million lines")
            shown = "  ".join(f"{number:.3f}" for number in means)
            print(f"{kind}  {'mean':12}  {shown}  {statistics.median(costs.values()):.2f} (median)")
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
