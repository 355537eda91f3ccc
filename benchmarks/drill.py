"""A restore drill of 10,000 files and 2 GB with restic and with borg: RPO, RTO, every hash, CPU seconds.

Through what the agent runs: the wrapper of a job (manifest, canary), again after 100 files changed,
then a wanted drill. `--files`, `--bytes` for other sizes, `--directory` for where: three times the bytes.
CPU seconds are of this process and of all that it started. Prints JSON.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contract.backup_site import Site, state
from forestall.collect.jobs import borg, restic

CHANGED = 100


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def fill(source: Path, *, files: int, size: int) -> None:
    """Sizes as on a file server: many small, few large; bytes that do not compress."""
    shutil.rmtree(source)
    weights = [1 / (1 + number % 1000) ** 1.2 for number in range(files)]
    a_weight = size / sum(weights)
    for number, weight in enumerate(weights):
        path = source / f"department {number % 20}" / f"{number // 20 % 25}" / f"document {number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(max(1, round(weight * a_weight))))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The job's own output passes through: not here."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    errors = os.dup(2)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 1)
        os.dup2(errors, 2)
        for descriptor in (kept, errors, nothing):
            os.close(descriptor)


def measure(tool: str, home: Path, *, files: int, size: int) -> dict[str, object]:
    home.mkdir()
    site = Site(home, {"restic": restic, "borg": borg}[tool])
    fill(site.source, files=files, size=size)
    before = cpu_s()
    with quiet():
        site.job()
    first_s = cpu_s() - before
    for path in sorted(site.source.rglob("*.bin"))[:: max(1, files // CHANGED)]:
        path.write_bytes(os.urandom(path.stat().st_size))
    before = cpu_s()
    with quiet():
        _, report = site.job()
    second_s = cpu_s() - before
    seen = state(site.repository)
    before = cpu_s()
    proof = asyncio.run(site.proof("drill"))
    drill_s = cpu_s() - before
    if state(site.repository) != seen:
        raise SystemExit(f"{tool}: the drill changed the repository")
    if not proof.ok or proof.rto_ms is None or proof.rpo_ms is None:
        raise SystemExit(f"{tool}: the drill failed: {proof.reason}")
    return {
        "version": report.version,
        "files_expected": proof.files_expected, "files_equal": proof.files_equal, "bytes": proof.size,
        "rpo_s": round(proof.rpo_ms / 1000, 1), "rto_s": round(proof.rto_ms / 1000, 1),
        "first_run_cpu_s": round(first_s, 1), "second_run_cpu_s": round(second_s, 1),
        "second_run_files_changed": report.files_changed, "drill_cpu_s": round(drill_s, 1),
        "manifest_bytes": site.records.manifest(site.plan, report.run).stat().st_size,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir=given.directory))
    try:
        result: dict[str, object] = {"files": given.files, "bytes": given.bytes, "load": os.getloadavg()[0]}
        for tool in ("restic", "borg"):
            result[tool] = measure(tool, home / tool, files=given.files, size=given.bytes)
            shutil.rmtree(home / tool)
        print(json.dumps(result, indent=2))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
