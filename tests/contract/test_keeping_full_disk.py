"""The durable queue on a disk that is really full: nothing acknowledged is lost, and it goes on by itself."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestall.intake.queue import START, QueueBroken, QueueReader, QueueWriter
from forestall.intake.values import QueueFull
from forestall.kernel.errors import Trouble

DISK_BYTES = 24 << 20
FRAME = b"x" * 50_000


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; skipped where the kernel refuses to mount one."""
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if request.param == "ext4":
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(place)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(writer: QueueWriter, taken: list[bytes], most: int = 2000) -> str:
    """Append until it is refused; why."""
    for _ in range(most):
        frame = len(taken).to_bytes(4, "big") + FRAME
        try:
            writer.append(frame).result(20)
        except QueueFull as full:
            return str(full)
        taken.append(frame)
    raise AssertionError(f"{most} frames fit on a disk of {DISK_BYTES} bytes")


def read_all(directory: Path) -> list[bytes]:
    reader, at, found = QueueReader(directory), START, []
    while part := reader.read(at, max_bytes=1 << 20):
        found += [frame for _, frame in part]
        at = part[-1][0]
    assert not reader.damages
    return found


@pytest.mark.parametrize("reserve_bytes", [0, 4 << 20])
def test_a_full_disk_turns_away_and_goes_on(disk: Path, reserve_bytes: int) -> None:
    filler = disk / "somebody-else"
    filler.write_bytes(b"\0" * (10 << 20))
    queue = disk / "queue"
    given = {"max_bytes": 1 << 30, "segment_bytes": 1 << 20, "reserve_bytes": reserve_bytes}
    writer, taken = QueueWriter(queue, **given), []  # type: ignore[arg-type, var-annotated]
    assert "is full" in fill(writer, taken)
    room = os.statvfs(disk)
    assert room.f_bavail * room.f_frsize >= reserve_bytes, "the reserve was touched"
    assert writer.refused_at > 0 and len(taken) > 20
    assert read_all(queue) == taken, "what was acknowledged is not there, or more is"
    filler.unlink()
    before = len(taken)
    for _ in range(50):  # the free room is looked at again a quarter of a second later
        try:
            writer.append(b"again").result(20)
            taken.append(b"again")
            break
        except QueueFull:
            os.sync()
    assert len(taken) == before + 1, "it does not go on although there is room"
    assert "is full" in fill(writer, taken)
    writer.close()
    assert read_all(queue) == taken
    reopened = QueueWriter(queue, **given)  # type: ignore[arg-type]
    reopened.close()
    assert read_all(queue) == taken, "a start on a full disk lost something"


def test_a_disk_that_fails_breaks_the_writer_and_loses_nothing(tmp_path: Path) -> None:
    """EIO: the kernel here offers no device that fails, so the sync is the one that is handed in."""
    failing = False

    def fsync(descriptor: int) -> None:
        if failing:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)

    told: list[QueueBroken] = []
    writer = QueueWriter(tmp_path / "queue", max_bytes=1 << 30, fsync=fsync, on_broken=told.append)
    writer.append(b"kept").result(20)
    failing = True
    with pytest.raises(QueueBroken):
        writer.append(b"never acknowledged").result(20)
    with pytest.raises(QueueBroken):
        writer.append(b"refused").result(20)
    writer.close()
    assert len(told) == 1 and "Input/output error" in str(told[0])
    with pytest.raises(Trouble, match="Check that disk"):
        QueueWriter(tmp_path / "queue", max_bytes=1 << 30, fsync=fsync)
    failing = False
    again = QueueWriter(tmp_path / "queue", max_bytes=1 << 30, fsync=fsync)
    again.append(b"goes on").result(20)
    again.close()
    found = read_all(tmp_path / "queue")
    assert found[0] == b"kept" and found[-1] == b"goes on"
