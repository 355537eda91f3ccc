"""Every fuzzed decoder takes its seeds, and some hundred mutations of them; longer runs are `make fuzz`."""

import random

import pytest

from fuzz.targets import TARGETS, try_one

TRIES = 60


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, a stretch left out or doubled."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, to = sorted((chance.randrange(len(changed) + 1), chance.randrange(len(changed) + 1)))
        match chance.randrange(4):
            case 0 if changed:
                changed[min(at, len(changed) - 1)] = chance.randrange(256)
            case 1:
                del changed[at:to]
            case 2:
                changed[at:at] = changed[at:to]
            case _:
                changed[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken_and_mutations_never_crash(name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(name)
    for seed in target.seeds:
        target.run(seed)
        for _ in range(TRIES):
            try_one(target, mutated(seed, chance))
    try_one(target, b"")
