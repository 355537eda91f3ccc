"""What the store puts right after a power cut or a kill halfway, in directories like ClickHouse's."""

import json
from pathlib import Path

import pytest

from forestall.telemetry.durable import Dangling, Inserts, list_dangling, mend, read_part


def table(root: Path, *, parts: list[str], tokens: list[str], after: int | None, tail: bytes = b"") -> Path:
    """A table with parts, a log of tokens of parts, and a noted insert behind a block."""
    place = root / "store" / "abc" / "abc-1"
    for part in parts:
        (place / part).mkdir(parents=True)
        (place / part / "data.bin").write_bytes(b"rows")
    (place / "deduplication_logs").mkdir(parents=True)
    lines = "".join(f"1\t{part}\t20260101_{number}_{number}\n" for number, part in enumerate(tokens))
    (place / "deduplication_logs" / "deduplication_log_1.txt").write_bytes(lines.encode() + tail)
    if after is not None:
        (root / "inserting").mkdir()
        note = {"place": "store/abc/abc-1", "after": after}
        (root / "inserting" / "logs").write_bytes(json.dumps(note).encode().ljust(512))
    return place


def tokens_of(place: Path) -> list[str]:
    text = (place / "deduplication_logs" / "deduplication_log_1.txt").read_text()
    return [line.split("\t")[1] for line in text.splitlines()]


def parts_of(place: Path) -> list[str]:
    return sorted(entry.name for entry in place.iterdir() if read_part(entry.name))


def test_what_is_whole_stays(tmp_path: Path) -> None:
    names = ["20260101_1_4_1", "20260101_5_5_0"]
    logged = ["20260101_1_1_0", "20260101_4_4_0", "20260101_5_5_0"]
    place = table(tmp_path, parts=names, tokens=logged, after=4)
    assert mend(tmp_path) == []
    assert parts_of(place) == names and tokens_of(place) == logged


def test_a_token_without_its_part_is_forgotten(tmp_path: Path) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0"], tokens=["20260101_1_1_0", "20260101_2_2_0"], after=1)
    assert list_dangling(place, 1) == {"20260101_2_2_0"}
    assert "come again" in mend(tmp_path)[0]
    assert tokens_of(place) == ["20260101_1_1_0"]


def test_a_part_without_its_token_is_removed(tmp_path: Path) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0", "20260102_2_2_0"], tokens=["20260101_1_1_0"], after=1)
    assert "not acknowledged" in mend(tmp_path)[0]
    assert parts_of(place) == ["20260101_1_1_0"]


def test_parts_without_tokens_before_the_noted_insert_stay(tmp_path: Path) -> None:
    """Restored from a backup: attached parts have no tokens."""
    place = table(tmp_path, parts=["20260101_1_1_0", "20260101_2_2_0"], tokens=[], after=2)
    assert mend(tmp_path) == []
    assert len(parts_of(place)) == 2


def test_without_a_note_nothing_is_touched(tmp_path: Path) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0"], tokens=["20260101_9_9_0"], after=None)
    assert mend(tmp_path) == []
    assert parts_of(place) == ["20260101_1_1_0"] and tokens_of(place) == ["20260101_9_9_0"]


@pytest.mark.parametrize("tail", [b"1\t20260101_2_2", b"\0" * 40, b"1\t20260101_2_2_0\tx\n\0\0\0\0"])
def test_lines_that_are_none_are_cut_away(tmp_path: Path, tail: bytes) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0"], tokens=["20260101_1_1_0"], after=None, tail=tail)
    assert "lines that are none" in mend(tmp_path)[0]
    assert tokens_of(place)[0] == "20260101_1_1_0"
    assert all(read_part(name) for name in tokens_of(place))
    assert mend(tmp_path) == []


def test_a_torn_note_says_that_nothing_had_begun(tmp_path: Path) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0"], tokens=[], after=0)
    (tmp_path / "inserting" / "logs").write_bytes(b'{"place": "store/abc/ab')
    assert mend(tmp_path) == []
    assert parts_of(place) == ["20260101_1_1_0"]


def test_an_insert_that_breaks_off_half_done_says_so(tmp_path: Path) -> None:
    place = table(tmp_path, parts=["20260101_1_1_0"], tokens=["20260101_1_1_0"], after=None)
    tokens = place / "deduplication_logs" / "deduplication_log_1.txt"
    inserts = Inserts(tmp_path)
    with pytest.raises(Dangling), inserts.noted("logs", place):
        with tokens.open("a") as file:
            file.write("1\t20260101_2_2_0\t20260101_7_7\n")
        raise RuntimeError("Input/output error")
    assert mend(tmp_path)
    assert tokens_of(place) == ["20260101_1_1_0"]
    with pytest.raises(RuntimeError, match="bad rows"), inserts.noted("logs", place):
        raise RuntimeError("bad rows")
