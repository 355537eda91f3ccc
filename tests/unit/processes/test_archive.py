"""Archives of backups: what is whole is read, whatever was altered or does not belong there is refused."""

import io
import tarfile
from pathlib import Path

import msgspec
import pytest
import zstandard

from forestall.keeping.archive import (
    MANIFEST,
    JournalState,
    Manifest,
    Part,
    Writer,
    check_name,
    extract,
    verify,
    written,
)
from forestall.keeping.keys import make_recovery_key, open_keys, read_private, read_public, seal_keys
from forestall.kernel.errors import Trouble

JOURNAL = JournalState(size=0, root="", checkpoint="", public_key="")


def manifest(**fields: object) -> Manifest:
    given = {"version": "0", "made_at": "", "database": "sqlite", "journal": JOURNAL, "telemetry_days": None}
    return Manifest(**given | fields)  # type: ignore[arg-type]


def make(path: Path, files: dict[str, bytes]) -> None:
    with written(path) as file:
        writer = Writer(file)
        for name, data in files.items():
            writer.add_bytes(name, data)
        writer.close(manifest())


def forge(path: Path, members: list[tarfile.TarInfo], parts: list[Part]) -> None:
    """A tar that we would never write."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        last = msgspec.json.encode(manifest(parts=parts))
        end = tarfile.TarInfo(MANIFEST)
        end.size = len(last)
        tar.addfile(end, io.BytesIO(last))
    path.write_bytes(zstandard.compress(plain.getvalue()))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    files = {"a": b"", "queue/web/1.segment": b"x" * 3_000_000, "ü/ö": b"y"}
    make(tmp_path / "one.tar.zst", files)
    assert {part.name: part.size for part in verify(tmp_path / "one.tar.zst").parts} == {
        name: len(data) for name, data in files.items()
    }
    extract(tmp_path / "one.tar.zst", tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "", "a//b", "./a", "a\\b", "a\0b", "a" * 5000]
)
def test_names_stay_below_the_root(name: str) -> None:
    with pytest.raises(Trouble, match="not one of our"):
        check_name(name)


def test_links_and_strangers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "forged.tar.zst"
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    extra = tarfile.TarInfo("more")
    extra.size = 3
    climbing = tarfile.TarInfo("../climbing")
    for members, parts in (
        ([link], []),
        ([extra], []),
        ([climbing], []),
        ([], [Part("gone", 3, "0" * 64)]),
        ([extra], [Part("more", 3, "0" * 64)]),
    ):
        forge(path, members, parts)
        with pytest.raises(Trouble):
            verify(path)


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), written(tmp_path / "one.tar.zst"):
        raise RuntimeError("it failed")
    assert not list(tmp_path.iterdir())


def test_keys_open_with_their_recovery_key_alone(tmp_path: Path) -> None:
    text = make_recovery_key(tmp_path)
    public = read_public(tmp_path)
    assert public is not None and text.encode() not in (tmp_path / "recovery.public").read_bytes()
    sealed = seal_keys({"vault": b"\x01" * 32}, public)
    assert b"\x01" * 32 not in sealed
    assert open_keys(sealed, read_private(f" {text.upper()}\n")) == {"vault": b"\x01" * 32}
    (tmp_path / "other").mkdir()
    with pytest.raises(Trouble, match="recovery key"):
        open_keys(sealed, read_private(make_recovery_key(tmp_path / "other")))
    with pytest.raises(Trouble, match="no recovery key"):
        read_private("forestall-recovery-abc")
