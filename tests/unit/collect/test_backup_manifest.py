"""Manifests, canaries and comparisons, on small trees."""

import os
import random
from pathlib import Path

import msgspec
import pytest

from forestall.collect.backups import canary
from forestall.collect.backups.compare import Compared, compare, find_canary
from forestall.collect.backups.excluding import excluded
from forestall.collect.backups.manifest import Block, Damaged, Entry, read_blocks, read_entries, read_tail
from forestall.collect.backups.taking import Moved, Taken, moved_since, take
from forestall.collect.backups.walking import order, tops, walk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    for number in range(300):
        path = top / f"folder{number % 7}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"file {number}".encode() * 20)
    return top


def taken(source: Path, name: str = "one", *, previous: Path | None = None) -> tuple[Path, Taken]:
    full = source.parent / name
    return full, take([str(source)], full=full, plain=full.with_suffix(".plain"), previous=previous, at_ms=1)


def restored(source: Path, at: str = "restored") -> Path:
    root = source.parent / at
    there = root / str(source)[1:]
    there.parent.mkdir(parents=True)
    os.system(f"cp -a {source} {there}")
    return root


def against(source: Path, root: Path, manifest: Path, tail_root: str, **more: object) -> Compared:
    return compare(manifest, root, bound=tail_root, **more)  # type: ignore[arg-type]


def test_paths_stand_in_one_order_whatever_they_are_called(tmp_path: Path) -> None:
    rng = random.Random(5)
    for _ in range(150):
        parts = [
            rng.choice(["a", "a.b", "a b", "a-", "Ä", "z", "\n", "."]) + rng.choice(["", "1"])
            for _ in range(3)
        ]
        path = tmp_path.joinpath("t", *[part if part != "." else "dot" for part in parts])
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("x")
    found = [one.path for one in walk(os.fsencode(tmp_path / "t"))]
    assert found == sorted(found, key=order) and len(found) == len({*found}) > 50


def test_sources_within_others_are_walked_once() -> None:
    assert tops(["/srv/data", "/srv", "/srv.old/", "/etc", "/etc"]) == [b"/etc", b"/srv", b"/srv.old"]


def test_only_what_changed_is_read_again(source: Path) -> None:
    full, first = taken(source)
    _, second = taken(source, "two", previous=full)
    assert (
        first.changes is None
        and first.hashed > 0
        and (second.hashed, second.tail.root) == (0, first.tail.root)
    )
    (source / "folder1" / "1.txt").write_text("other")
    (source / "folder1" / "8.txt").touch()
    _, third = taken(source, "three", previous=full)
    assert (
        third.changes
        and (third.changes.changed, third.changes.new) == (1, 0)
        and third.tail.root != first.tail.root
    )


def test_a_manifest_of_which_a_bit_flipped_is_none(source: Path) -> None:
    full, one = taken(source)
    data = full.read_bytes()
    for at in range(0, len(data), 97):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        full.write_bytes(bad)
        with pytest.raises(Damaged):
            read_tail(full, root=one.tail.root)
    full.write_bytes(data[:-5])
    with pytest.raises(Damaged, match="cut short"):
        list(read_entries(full, root=one.tail.root))
    full.write_bytes(data)
    assert read_tail(full, root=one.tail.root)[1].files == 300


def test_the_one_that_goes_into_the_copy_has_the_same_root_and_mostly_the_same_blocks(source: Path) -> None:
    for number in range(3000):
        (source / "folder3" / f"more {number}").touch()
    full, one = taken(source)
    assert read_tail(full.with_suffix(".plain"), root=one.tail.root)[1] == one.tail
    (source / "folder5" / "new.txt").write_text("new")
    other, _ = taken(source, "two", previous=full)
    blocks = [
        {
            msgspec.msgpack.encode(part)
            for part in read_blocks(path.with_suffix(".plain"))
            if isinstance(part, Block)
        }
        for path in (full, other)
    ]
    assert len(blocks[0]) > 2  # where they part is told by the names, among them the folder of this test
    assert 2 <= len(blocks[0] ^ blocks[1]) <= 3  # the one with the new file, unless that file parts it


def test_when_time_is_up_the_next_run_goes_on(source: Path) -> None:
    allowed = iter([True] * 100 + [False] * 1000)
    full = source.parent / "one"
    one = take([str(source)], full=full, plain=None, previous=None, at_ms=1, hashing=lambda: next(allowed))
    assert not one.tail.whole and [entry.kind for entry, _ in read_entries(full)].count("n") == 200
    _, second = taken(source, "two", previous=full)
    assert second.tail.whole and second.hashed < one.hashed * 3


def test_what_cannot_be_read_is_said(source: Path) -> None:
    missing = source.parent / "missing"
    full = source.parent / "one"
    one = take([str(source), str(missing)], full=full, plain=None, previous=None, at_ms=1)
    assert one.unreadable == 1 and one.problems == [f"{missing}: No such file or directory"]
    compared = against(source, restored(source), full, one.tail.root)
    assert compared.unread == 1 and compared.equal == 300 and not compared.mismatches


def test_renamed_and_encrypted_files_are_told(source: Path) -> None:
    full, _ = taken(source)
    for number, path in enumerate(sorted((source / "folder2").iterdir())):
        path.write_bytes(os.urandom(5000))
        path.rename(path.with_name(f"{path.name}.locked" if number % 2 else f"{number}.crypt"))
    _, two = taken(source, "two", previous=full)
    assert two.changes and two.changes.renamed == len(list((source / "folder2").iterdir())) // 2
    assert two.changes.removed == two.changes.new == len(list((source / "folder2").iterdir()))
    assert two.changes.entropy and two.changes.entropy > 7.9


def test_a_special_file_is_named_and_not_read(source: Path) -> None:
    os.mkfifo(source / "pipe")
    full, one = taken(source)
    assert one.unreadable == 0 and Entry(os.fsencode(source / "pipe"), "s", 0, b"") in [
        e for e, _ in read_entries(full)
    ]


def test_what_a_restore_lacks_or_has_too_much(source: Path) -> None:
    (source / "link").symlink_to("folder1")
    full, one = taken(source)
    root = restored(source)
    there = root / str(source)[1:]
    assert against(source, root, full, one.tail.root).equal == 300
    (there / "folder1" / "1.txt").unlink()
    (there / "folder1" / "8.txt").write_bytes(b"short")
    (there / "folder1" / "15.txt").write_bytes(b"x" * 10_000)
    (there / "folder1" / "22.txt").unlink()
    (there / "folder1" / "22.txt").mkdir()
    (there / "link").unlink()
    (there / "link").symlink_to("/etc")
    (there / "folder9").mkdir()
    (there / "folder9" / "added").touch()
    compared = against(source, root, full, one.tail.root)
    assert {Path(found.path).name: found.what for found in compared.mismatches} == {
        "1.txt": "missing", "8.txt": "shorter", "15.txt": "differs", "22.txt": "no file any more",
        "link": "a link to elsewhere",
    }  # fmt: skip
    assert (compared.expected, compared.equal, compared.added, compared.mismatches_total) == (300, 296, 1, 5)


def test_files_that_moved_are_judged_apart(source: Path) -> None:
    names = ["grown", "after", "torn", "gone", "unknown"]
    for name in names:
        (source / name).write_bytes(b"before")
    full, one = taken(source)
    for name in names[:3]:
        (source / name).write_bytes(b"before and after" if name == "grown" else b"after!")
    (source / "gone").unlink()
    moved = moved_since(full)
    assert moved[os.fsencode(source / "gone")] == Moved(gone=True) and len(moved) == 4
    root = restored(source)
    there = root / str(source)[1:]
    (there / "grown").write_bytes(b"before and")
    (there / "torn").write_bytes(b"befter")
    (there / "unknown").write_bytes(b"?")
    moved[os.fsencode(source / "unknown")] = Moved()
    compared = against(source, root, full, one.tail.root, moved=moved)
    assert (compared.equal, compared.apart, compared.torn, compared.unvouched) == (300, 3, 1, 1)
    assert [(Path(found.path).name, found.what) for found in compared.mismatches] == [("torn", "torn")]
    elsewhere = against(source, root, full, one.tail.root, named=frozenset(map(os.fsdecode, moved)))
    assert (elsewhere.torn, elsewhere.unvouched, elsewhere.apart) == (0, 4, 1)  # the grown one is known
    passed = against(source, root, full, one.tail.root, moved=moved, may_move=excluded(["torn"]))
    assert passed.torn == 0 and passed.unvouched == 2


def test_patterns() -> None:
    out = excluded(["*.tmp", "/srv/data/cache/", "**/node_modules", "a?c", "/home/*/Trash"])
    for path in (
        b"/x/y.tmp",
        b"/srv/data/cache",
        b"/srv/data/cache/a/b",
        b"/q/node_modules/x",
        b"/abc",
        b"/home/j/Trash/1",
    ):
        assert out(path), path
    for path in (b"/x/y.tmpl", b"/srv/data/cache2", b"/old/srv/data/cache", b"/home/j/k/Trash", b"/abbc"):
        assert not out(path), path
    assert not excluded([])(b"/x") and not excluded([" "])(b"/x")
    with pytest.raises(ValueError, match="at most 500"):
        excluded(["x"] * 501)


def test_a_canary_is_whole_torn_or_of_another_run(source: Path) -> None:
    canary.prepare(source)
    planted = canary.plant(source, plan="p", run="r", root="0" * 64, at_ms=5)
    root = restored(source)
    back = find_canary(root, str(source), expected=planted)
    assert back.ok and back.planted and (back.planted.canary.at_ms, back.planted.root) == (5, "0" * 64)
    assert (
        "another canary"
        in find_canary(root, str(source), expected=msgspec.structs.replace(planted, nonce="x")).said
    )
    path = root / str(source)[1:] / canary.DIRECTORY / canary.FILE
    text = path.read_text()
    for damaged in (
        text[:50],
        text.replace('"run": "r"', '"run": "s"'),
        "[]",
        "",
        text.replace(planted.nonce, "0" * 64),
    ):
        path.write_text(damaged)
        assert "torn" in find_canary(root, str(source), expected=planted).said
    path.unlink()
    assert "did not come back" in find_canary(root, str(source), expected=planted).said
