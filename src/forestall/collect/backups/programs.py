"""Runs the tools of backups for the adapters: a fixed list of arguments, no shell, at the lowest priority, in
an environment of its own, with a bound on what it says; its process group ends with whoever asked for it.
"""

import asyncio
import contextlib
import getpass
import os
import re
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forestall.collect.backups.adapter import Beside, CannotProve, Ended, RunProgram
from forestall.collect.backups.background import in_background

if TYPE_CHECKING:
    import pwd

OUT_MAX_BYTES = 4 << 20
LINE_MAX_BYTES = 1 << 20
CHUNK_BYTES = 64 << 10
ARGUMENTS_MAX = 2_000
END_WITHIN_S = 10.0
VERSIONS_MAX = 100
INHERITED = ("PATH", "HOME", "LANG", "SYSTEMROOT", "PROGRAMDATA")
MORE_PATHS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PACKAGES = {
    "borg": "borgbackup",
    "borgmatic": "borgmatic",
    "mariadb": "mariadb-client",
    "mariadb-check": "mariadb-client",
    "mariadb-dump": "mariadb-client",
    "mariadb-install-db": "mariadb-server",
    "mariadbd": "mariadb-server",
    "pg_amcheck": "postgresql",
    "pg_checksums": "postgresql",
    "pg_dump": "postgresql-client",
    "pg_restore": "postgresql-client",
    "postgres": "postgresql",
    "psql": "postgresql-client",
    "rsync": "rsync",
    "setpriv": "util-linux",
    "tar": "tar",
    "zstd": "zstd",
}
# A tool that keeps copies is started to read them, and for nothing else: no adapter deletes or prunes.
READS = {
    "restic": frozenset({"cat", "check", "list", "ls", "restore", "snapshots", "version"}),
    "borg": frozenset({"--version", "check", "extract", "info", "list"}),
}
BEFORE_VERB = frozenset({"--bypass-lock", "--no-cache", "--no-lock"})  # none takes a value
ALTERS = frozenset({"--delete", "--force", "--remove-source-files", "--repair", "--save-space"})
SHORT = len("--re")  # as short an option is ambiguous, and refused by the tool itself
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
_versions: dict[tuple[str, int], str] = {}


class Programs:
    """The `RunProgram` of one work. `scratch` becomes TMPDIR. `timeout_s`: of one program. `user`: whom a
    program runs as when it is not told; None is whoever we are. `patience_s`: between SIGTERM and SIGKILL."""

    def __init__(
        self,
        scratch: Path,
        *,
        timeout_s: float = 6 * 3600.0,
        user: str | None = None,
        patience_s: float = END_WITHIN_S,
    ) -> None:
        self._scratch = scratch
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._user = user

    async def __call__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        cwd: Path | None = None,
        most: int = OUT_MAX_BYTES,
        line: Callable[[bytes], None] | None = None,
        out_to: Path | None = None,
        in_from: Path | None = None,
        user: str | None = None,
    ) -> Ended:
        """Raises CannotProve when there is no such program, ValueError for arguments that are none."""
        begun = time.monotonic()
        timed_out = False
        files = {"out_to": out_to, "in_from": in_from}
        async with self._started(command, env=env, cwd=cwd, user=user, **files) as process:
            out, err = _Head(most, line), _Tail(most, line)
            reading = [asyncio.create_task(_read(process.stderr, err))]
            if out_to is None:
                reading.append(asyncio.create_task(_read(process.stdout, out)))
            try:
                async with asyncio.timeout(self._timeout_s):
                    await asyncio.gather(*reading, process.wait())
            except TimeoutError:
                timed_out = True
                await _end(process, self._patience_s)
            finally:
                for task in reading:
                    task.cancel()
        took_ms = round((time.monotonic() - begun) * 1000)
        assert process.returncode is not None
        return Ended(process.returncode, out.kept(), err.kept(), took_ms, timed_out)

    @contextlib.asynccontextmanager
    async def beside(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        cwd: Path | None = None,
        user: str | None = None,
    ) -> AsyncIterator[Beside]:
        """A program that runs until the block ends (SIGTERM, then SIGKILL). Raises CannotProve."""
        async with self._started(command, env=env, cwd=cwd, user=user) as process:
            said = _Tail(OUT_MAX_BYTES, None)
            reading = [asyncio.create_task(_read(pipe, said)) for pipe in (process.stdout, process.stderr)]
            try:
                yield Beside(process.pid, said.kept, lambda: process.returncode is None)
            finally:
                await _end(process, self._patience_s)
                for task in reading:
                    task.cancel()

    @contextlib.asynccontextmanager
    async def _started(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        user: str | None,
        out_to: Path | None = None,
        in_from: Path | None = None,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        own = {name: value for name in INHERITED if (value := os.environ.get(name))}
        own["PATH"] = search_path()
        if as_user := user or self._user:
            own["HOME"] = _known(as_user).pw_dir
        if not as_user or as_user == getpass.getuser():  # another user may not write there
            own["TMPDIR"] = str(self._scratch)
        own |= {"LC_ALL": "C.UTF-8", **env}
        line = [*_low(as_user), *checked(command, path=own["PATH"])]
        with contextlib.ExitStack() as files:
            out = files.enter_context(out_to.open("wb")) if out_to else asyncio.subprocess.PIPE
            given = files.enter_context(in_from.open("rb")) if in_from else asyncio.subprocess.DEVNULL
            try:
                process = await asyncio.create_subprocess_exec(
                    *line,
                    stdin=given,
                    stdout=out,
                    stderr=asyncio.subprocess.PIPE,
                    env=own,
                    cwd=cwd or self._scratch,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotProve(f"{command[0]} cannot be run: {error.strerror or error}") from error
        try:
            yield process
        finally:
            await _end(process, self._patience_s)


def checked(command: Sequence[str], *, path: str) -> list[str]:
    """The command with the whole path of its program. Raises CannotProve when it is not installed."""
    if not command or len(command) > ARGUMENTS_MAX or any("\0" in word for word in command):
        raise ValueError(f"a command has 1 to {ARGUMENTS_MAX} words without NUL")
    name, *arguments = command
    if not only_reads(command):
        raise ValueError(f"{' '.join(command[:4])} … is no way to read copies: see READS")
    found = shutil.which(name, path=path)
    if found is None:
        package = PACKAGES.get(name, name)
        raise CannotProve(
            f"{name} is not installed on this machine: install it there (Debian's package is {package}), or "
            "let a collector watch this plan where it is installed"
        )
    return [found, *arguments]


def only_reads(command: Sequence[str]) -> bool:
    """Whether a command leaves the copies of its tool as they are; of a tool that keeps none: yes."""
    allowed = READS.get(Path(command[0]).name.removesuffix(".exe"))
    if allowed is None:
        return True
    verb = next((word for word in command[1:] if word not in BEFORE_VERB), "")
    options = [word.partition("=")[0] for word in command[1:] if word.startswith("--")]
    # borg takes the beginning of an option for the whole one
    altering = any(one.startswith(word) for word in options if len(word) > SHORT for one in ALTERS)
    return verb in allowed and not altering


def argument(text: str, what: str) -> str:
    """A text from outside as an argument that is no option. Raises CannotProve."""
    if not text or text.startswith("-") or any(ord(letter) < 32 for letter in text):
        raise CannotProve(f"{what} is {text!r}: it must not be empty or begin with a dash; mend the plan")
    return text


def search_path() -> str:
    """PATH, and the folders of the system, which a service manager may not name."""
    given = os.environ.get("PATH", "").split(os.pathsep)
    more = MORE_PATHS if os.name == "posix" else ()
    return os.pathsep.join(dict.fromkeys([folder for folder in (*given, *more) if folder]))


def _known(user: str) -> "pwd.struct_passwd":
    """Raises CannotProve when there is no such user."""
    import pwd  # not on Windows

    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise CannotProve(f"there is no user {user!r} on this machine: make it, or name another") from None


def _low(user: str | None) -> list[str]:
    """What to put before a command, so that it stands back behind everything else, and ends when we do."""
    if os.name != "posix":
        return []
    path, words = search_path(), []
    who: list[str] = []
    if user and user != getpass.getuser():
        known = _known(user)
        who = ["--reuid", str(known.pw_uid), "--regid", str(known.pw_gid), "--init-groups"]
    if sys.platform == "linux" and (setpriv := shutil.which("setpriv", path=path)):
        words += [setpriv, "--pdeathsig", "TERM", *who]
    elif who:
        raise CannotProve(f"{user} must run this, and setpriv is not installed: install util-linux")
    if nice := shutil.which("nice", path=path):
        words += [nice, "-n", "19"]
    if sys.platform == "linux" and (ionice := shutil.which("ionice", path=path)):
        words += [ionice, "-c", "3", "-t"]
    return words


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """End the process group, kindly first. What is left of the group after its leader ended ends too."""
    try:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            async with asyncio.timeout(patience_s):
                await process.wait()
    except TimeoutError:
        pass  # it does not listen: what follows needs no consent
    finally:
        _signal(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        await asyncio.shield(process.wait())


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(group, number)
        else:
            os.kill(group, number)


async def version_of(run: RunProgram, *command: str) -> str:
    """The number in what a program says of its version, asked once for every file that it is. Raises
    CannotProve when it is not installed."""
    found = checked(command, path=search_path())[0]
    try:
        key = (found, await in_background(lambda _: Path(found).stat().st_mtime_ns))
    except OSError as error:
        raise CannotProve(f"{found} cannot be read: {error.strerror or error}") from error
    if key not in _versions:
        ended = await run(command)
        number = _VERSION.search((ended.out + ended.err).decode("utf-8", "replace"))
        if len(_versions) >= VERSIONS_MAX:
            _versions.clear()
        _versions[key] = number[0] if number else ""
    return _versions[key]


class _Lines:
    """Cuts what comes into lines for whoever listens."""

    def __init__(self, line: Callable[[bytes], None] | None) -> None:
        self._line = line
        self._rest = b""

    def cut(self, data: bytes) -> None:
        if self._line is None:
            return
        *lines, self._rest = (self._rest + data.replace(b"\r", b"\n")).split(b"\n")
        self._rest = self._rest[:LINE_MAX_BYTES]
        for one in lines:
            if one:
                self._line(one[:LINE_MAX_BYTES])

    def rest(self) -> None:
        if self._line is not None and self._rest:
            self._line(self._rest)


class _Head(_Lines):
    """Keeps the beginning."""

    def __init__(self, most: int, line: Callable[[bytes], None] | None) -> None:
        super().__init__(line)
        self._most, self._kept = most, bytearray()

    def take(self, data: bytes) -> None:
        self._kept += data[: self._most - len(self._kept)]
        self.cut(data)

    def kept(self) -> bytes:
        return bytes(self._kept)


class _Tail(_Lines):
    """Keeps the end."""

    def __init__(self, most: int, line: Callable[[bytes], None] | None) -> None:
        super().__init__(line)
        self._most, self._size, self._kept = most, 0, deque[bytes]()

    def take(self, data: bytes) -> None:
        self._kept.append(data)
        self._size += len(data)
        while self._size - len(self._kept[0]) >= self._most:
            self._size -= len(self._kept.popleft())
        self.cut(data)

    def kept(self) -> bytes:
        return b"".join(self._kept)[-self._most :]


async def _read(pipe: asyncio.StreamReader | None, into: _Head | _Tail) -> None:
    """Until its end: nothing blocks because nobody reads, and nothing beyond the bound is kept."""
    assert pipe is not None
    while data := await pipe.read(CHUNK_BYTES):
        into.take(data)
    into.rest()
