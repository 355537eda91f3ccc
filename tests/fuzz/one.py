"""Fuzz one target: `python tests/fuzz/one.py NAME CORPUS [libFuzzer's options]`; started by run.py.

Modules with compiled loops (numba) are not instrumented, numba would have to compile the instruments; their
bounds are checked instead (NUMBA_BOUNDSCHECK), so that a step outside of a body is an IndexError.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings_for_tests")

import atheris  # noqa: E402 - after the paths

ROOMS = ("intake/formats", "collect/parsers")
FURTHER = ("forestall.intake.unpacking", "forestall.intake.pushed")


def modules(*, compiled: bool) -> list[str]:
    """The modules of the decoders with compiled loops, or those without."""
    return [
        f"forestall.{room.replace('/', '.')}.{path.stem}"
        for room in ROOMS
        for path in sorted((ROOT / "src/forestall" / room).glob("*.py"))
        if ("kernel.compiled import" in path.read_text()) == compiled and path.stem != "__init__"
    ]


def main() -> None:
    name, corpus, *options = sys.argv[1:]
    plain = [*modules(compiled=False), *FURTHER]
    with atheris.instrument_imports(include=plain, exclude=modules(compiled=True)):
        from fuzz.targets import TARGETS, try_one
    target = TARGETS[name]
    for place, seed in enumerate(target.seeds):
        (Path(corpus) / f"seed-{place}").write_bytes(seed)
        try_one(target, seed)  # compiles what is compiled, before the time of an input is taken
    atheris.Setup([sys.argv[0], corpus, *options], lambda data: try_one(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
