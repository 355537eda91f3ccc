"""What whoever asks remembers, and how much an agent holds of configurations that are not on disk yet."""

from pathlib import Path

import pytest

from forestall.collect import remembering
from forestall.collect.agent.seen import TEXTS_MAX_CHARS, Seen
from forestall.collect.remembering import Memory
from forestall.kernel.observations import Outcome, Snapshot


def test_what_was_remembered_is_there_again_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "remembered.json"
    Memory(path).put("host-key a:22", "ssh-ed25519 SHA256:x")
    assert Memory(path).get("host-key a:22") == "ssh-ed25519 SHA256:x"
    assert path.stat().st_mode & 0o077 == 0
    assert Memory(path).get("host-key b:22") == ""
    with pytest.raises(ValueError, match="at most"):
        Memory(path).put("x", "y" * 2_000)


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "remembered.json"
    path.write_text("[1, 2")
    memory = Memory(path)
    assert memory.get("a") == ""
    memory.put("a", "b")
    assert Memory(path).get("a") == "b"


def test_the_oldest_give_way() -> None:
    memory = Memory()
    for number in range(remembering.ENTRIES_MAX + 5):
        memory.put(str(number), "x")
    assert memory.get("4") == "" and memory.get("5") == "x"


def test_configurations_that_wait_for_the_disk_are_bounded() -> None:
    seen = Seen()
    shot = Snapshot(at_ms=1, kind="running", text="x" * (TEXTS_MAX_CHARS // 4))
    outcomes = [
        Outcome(
            at_ms=n, probe="p", kind="device", target="t", ok=True, reason="", took_ms=1, snapshots=[shot]
        )
        for n in range(6)
    ]
    lost = sum(seen.add(outcomes=[("a", one)]) for one in outcomes)
    heap = seen.take()
    assert [len(one.snapshots) for _, one in heap.outcomes] == [0, 0, 1, 1, 1, 1]
    assert lost == 2
