"""The canary: a file with a fresh nonce, planted at the source before a run, in a directory of its own.

What comes back of it tells how old the data is, and whether it is whole: it carries the hash of itself.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from forestall.kernel.backups import Canary

DIRECTORY = ".forestall-canary"
FILE = "canary.json"
MANIFEST = "manifest"
CANARY_MAX_BYTES = 64 << 10
NOTE = (
    "Forestall plants this file before every backup and looks for it in every restore. manifest has the hash "
    "of every file beside this directory. Leave both where they are, and in the backup."
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A canary as it was found: of which plan and run, with the root of the manifest beside it."""

    canary: Canary
    plan: str
    run: str
    root: str


class Torn(ValueError):
    """A canary that is not whole: the text says what is wrong with it."""


def place(source: Path) -> Path:
    """The directory of the canary of a source."""
    return source / DIRECTORY


def prepare(source: Path) -> Path:
    """The directory, made when it is missing; who can read the source can read it. Raises OSError."""
    directory = place(source)
    like = source.stat()
    directory.mkdir(exist_ok=True)
    if directory.is_symlink():
        raise OSError(0, f"{directory} is a link")
    _as(directory, like, like.st_mode & 0o777)
    return directory


def plant(source: Path, *, plan: str, run: str, root: str, at_ms: int) -> Canary:
    """A fresh canary, in the directory that `prepare` made. Raises OSError."""
    path = place(source) / FILE
    nonce = secrets.token_hex(32)
    said = {"note": NOTE, "plan": plan, "run": run, "nonce": nonce, "at_ms": at_ms, "manifest": root}
    text = json.dumps({**said, "sha256": _hash(said)}, indent=1) + "\n"
    temporary = path.with_name(f".new.{FILE}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600
    )
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    like = source.stat()
    _as(temporary, like, like.st_mode & 0o666)
    temporary.replace(path)
    return Canary(nonce, at_ms, str(path))


def show(path: Path, source: Path) -> None:
    """Let who can read the source read a file in the canary's directory. Raises OSError."""
    like = source.stat()
    _as(path, like, like.st_mode & 0o666)


def read(path: Path) -> Planted:
    """The canary in a file. Raises Torn when it is not whole, OSError when it is not there."""
    with path.open("rb") as file:
        data = file.read(CANARY_MAX_BYTES + 1)
    try:
        said = json.loads(data)
        hashed = said.pop("sha256")
        found = Planted(
            Canary(str(said["nonce"]), int(said["at_ms"])), str(said["plan"]), str(said["run"]),
            str(said["manifest"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Torn(f"its {len(data)} bytes are not a whole canary ({error})") from error
    if hashed != _hash(said):
        raise Torn("its content does not have the hash that it says of itself")
    return found


def _hash(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _as(path: Path, like: os.stat_result, mode: int) -> None:
    path.chmod(mode)
    if hasattr(os, "chown"):
        facts = path.stat()
        if (facts.st_uid, facts.st_gid) != (like.st_uid, like.st_gid):
            os.chown(path, like.st_uid, like.st_gid)
