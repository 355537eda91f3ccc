"""What could not be processed by a mistake of ours is set aside in files, to be looked at and to be replayed
when the mistake is mended.

Each is two files: `NAME.frames` (a msgpack array of the frames) and `NAME.json` (`About`). Whoever looks at
them (the console) writes only into the second; the watch process replays and deletes.
"""

import re
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from forestall.kernel.durable import make_directory, sync_directory, write_durably
from forestall.kernel.errors import Trouble

FILES_MAX = 1_000
BYTES_MAX = 256 << 20
NAME = re.compile(r"[\w.-]{1,120}")


class About(msgspec.Struct, frozen=True):
    """What was set aside. `side` is the one that could not take it (`judge`, `store`, "" for both); `block`:
    the numbers with which it is fed again, from when that begins; `replay`: somebody asked for that."""

    queue: str = ""
    side: str = ""
    reason: str = ""
    at_ms: int = 0
    frames: int = 0
    replay: bool = False
    block: int = 0


class SetAside(msgspec.Struct, frozen=True):
    """One that lies there."""

    name: str
    size_bytes: int
    about: About


class Poison:
    """A directory of frames that were set aside: at most FILES_MAX files of BYTES_MAX together, beyond that
    only the count grows."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self.count = 0

    def set_aside(self, name: str, frames: Sequence[bytes], about: About | None = None) -> Path | None:
        """Write the frames; returns the file, or None when there is no room for it."""
        with self._lock:
            self.count += len(frames)
            path = self._free(name.replace(":", "-"))
            body = msgspec.msgpack.encode(list(frames))
            try:
                make_directory(self._directory)
                sizes = [entry.stat().st_size for entry in self._directory.glob("*.frames")]
                if len(sizes) >= FILES_MAX or sum(sizes) + len(body) > BYTES_MAX:
                    return None
                write_durably(path, body)
                write_about(path, about or About(frames=len(frames)))
            except OSError:  # the disk is full: the rejected row still tells
                return None
            return path

    def _free(self, name: str) -> Path:
        """A name that is not taken: the judge may refuse what the store has refused."""
        path = self._directory / f"{name}.frames"
        for number in range(2, 10):
            if not path.exists():
                break
            path = self._directory / f"{name}.{number}.frames"
        return path


def list_set_aside(directory: Path) -> list[SetAside]:
    """Everything that lies there, the latest first."""
    found = []
    for path in directory.glob("*.frames"):
        try:
            found.append(SetAside(path.stem, path.stat().st_size, read_about(path)))
        except FileNotFoundError:  # replayed meanwhile
            continue
    return sorted(found, key=lambda one: (one.about.at_ms, one.name), reverse=True)


def read_frames(directory: Path, name: str) -> list[bytes]:
    """The frames of one. Raises Trouble when there is none of that name, or it is damaged."""
    try:
        return msgspec.msgpack.decode(_path(directory, name).read_bytes(), type=list[bytes])
    except FileNotFoundError as error:
        raise Trouble("nothing is set aside under this name", "It was replayed or thrown away.") from error
    except msgspec.MsgspecError as error:
        raise Trouble(f"what was set aside cannot be read: {error}", "Throw it away.") from error


def order_replay(directory: Path, name: str) -> None:
    """Have it fed to the queue again. Raises Trouble when there is none of that name."""
    path = need(directory, name)
    write_about(path, msgspec.structs.replace(read_about(path), replay=True))


def need(directory: Path, name: str) -> Path:
    """The file of that name. Raises Trouble when there is none."""
    path = _path(directory, name)
    if not path.exists():
        raise Trouble("nothing is set aside under this name", "It was replayed or thrown away.")
    return path


def throw_away(directory: Path, name: str) -> None:
    """Delete it. Raises Trouble for a name that cannot be one."""
    path = _path(directory, name)
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def read_about(path: Path) -> About:
    """What is said about a file of frames; nothing where nothing was written."""
    try:
        return msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=About)
    except (FileNotFoundError, msgspec.MsgspecError):
        return About()


def write_about(path: Path, about: About) -> None:
    """Say something about a file of frames. Raises OSError."""
    temporary = path.with_suffix(".new")
    write_durably(temporary, msgspec.json.encode(about))
    temporary.replace(path.with_suffix(".json"))
    sync_directory(path.parent)


def _path(directory: Path, name: str) -> Path:
    if not NAME.fullmatch(name) or ".." in name:
        raise Trouble("this is no name of something that was set aside", "Choose one from the list.")
    return directory / f"{name}.frames"
