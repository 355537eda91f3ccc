"""CPU seconds and memory of the manifest of a million small files: the first, one when nothing changed, the
look at what moved, and the comparison of a restored tree. `--files` for another number. Prints JSON.
"""

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forestall.collect.backups.compare import compare
from forestall.collect.backups.taking import moved_since, take

A_FOLDER = 1_000


def fill(top: Path, files: int) -> None:
    for number in range(files):
        folder = top / f"folder {number // A_FOLDER}"
        if number % A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"file number {number}.txt").write_bytes(b"content of %d" % number)


def measured(result: dict[str, object], name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; its CPU seconds, and the most memory that was used so far, in the result."""
    before = time.process_time()
    found = work()
    result[f"{name}_cpu_s"] = round(time.process_time() - before, 1)
    result["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir=given.directory))
    try:
        source = home / "source"
        fill(source, given.files)
        result: dict[str, object] = {"files": given.files, "load": os.getloadavg()[0]}
        one, two, plain = home / "one", home / "two", home / "plain"

        def taken(full: Path, previous: Path | None) -> Any:
            return take([str(source)], full=full, plain=plain, previous=previous, at_ms=1)

        first = measured(result, "first", lambda: taken(one, None))
        measured(result, "unchanged", lambda: taken(two, one))
        measured(result, "moved", lambda: moved_since(two))
        result["bytes_in_the_copy"] = plain.stat().st_size
        there = home / "restored" / str(source)[1:]
        there.parent.mkdir(parents=True)
        source.rename(there)
        compared = measured(
            result, "compare", lambda: compare(plain, home / "restored", bound=first.tail.root)
        )
        if (compared.equal, compared.mismatches_total) != (given.files, 0):
            raise SystemExit(f"{compared.equal} of {given.files} files are equal")
        print(json.dumps(result, indent=2))
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
