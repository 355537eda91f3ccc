"""A machine with something to back up: a source, a repository of a real tool, an agent's directory, jobs that
run through `forestall agent job`, and the works that the agent does."""

import asyncio
import atexit
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

from forestall.collect.backups.adapter import Repository
from forestall.collect.backups.jobs_here import run_job
from forestall.collect.backups.programs import Programs
from forestall.collect.backups.records import DIRECTORY, Records
from forestall.collect.backups.working import Working
from forestall.collect.jobs import borg, restic
from forestall.kernel.backups import (
    BackupOrder,
    BackupReport,
    Bound,
    CopySeen,
    ProofReport,
    RepositoryReport,
    RunReport,
    WantedWork,
    Work,
)
from forestall.kernel.ids import new_id

PASSWORD = "a word for the tests"
WAIT_S = 60.0


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def state(directory: Path) -> dict[str, tuple[int, int, int, str]]:
    """All that can be seen of a directory: names, modes, inodes, times of change, hashes of content."""
    found = {}
    for path in (directory, *sorted(directory.rglob("*"))):
        facts = path.lstat()
        content = ""
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        found[str(path)] = (facts.st_mode, facts.st_ino, facts.st_mtime_ns, content)
    return found


@dataclass
class Site:
    """`tool` is restic or borg, or one with its functions."""

    home: Path
    tool: ModuleType
    plan: str = field(default_factory=new_id)
    settings: dict[str, Any] = field(default_factory=dict)
    password: str = PASSWORD
    reports: list[tuple[str, BackupReport]] = field(default_factory=list)
    archives: int = 0
    known: bool = True  # whether the agent has heard of the plan

    def __post_init__(self) -> None:
        self.source.mkdir()
        for number in range(12):
            path = self.source / f"folder{number % 3}" / f"file {number}.bin"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(2_000 + 500 * number))
        (self.source / "empty").mkdir()
        (self.source / "link").symlink_to("folder0")
        self.environment = {
            "RESTIC_PASSWORD": self.password, "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_CACHE_DIR": str(self.home / "cache"), "BORG_PASSPHRASE": self.password,
            "BORG_REPO": str(self.repository), "BORG_BASE_DIR": str(self.home / "borg"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }  # fmt: skip
        if self.tool is restic:
            shutil.copytree(_empty_restic(), self.repository)
        if self.tool is borg:
            shutil.copytree(_empty_borg(), self.repository)

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def repository(self) -> Path:
        return self.home / "repository"

    @property
    def agent(self) -> Path:
        return self.home / "agent"

    @property
    def records(self) -> Records:
        return Records(self.agent / DIRECTORY)

    def sh(self, *command: str, ok: bool = True) -> str:
        """A command as the client's administrator gives it."""
        ended = subprocess.run(
            command,
            check=False,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            cwd=self.home,
            timeout=60,
        )
        if ok and ended.returncode != 0:
            raise AssertionError(f"{command} ended with {ended.returncode}: {ended.stderr}{ended.stdout}")
        return ended.stdout + ended.stderr

    def command(self, *sources: str) -> list[str]:
        """The job, of this tool."""
        paths = list(sources) or [str(self.source)]
        if self.tool is borg:
            self.archives += 1
            return ["borg", "create", "--stats", f"::archive-{self.archives}", *paths]
        return ["restic", "backup", *paths]

    def job(self, *command: str, **more: Any) -> tuple[int, RunReport]:
        """A run of the job through the wrapper: its exit code and the report that it left."""
        before = dict(os.environ)
        if self.known:
            self.records.write_plans([self.order()])
        os.environ.update(self.environment)
        try:
            code = run_job(self.agent, self.plan, command or self.command(), **more)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return code, self.records.runs(self.plan)[0]

    def order(self, **changes: Any) -> BackupOrder:
        """The plan, as the server orders it."""
        given = {
            "id": self.plan, "asset": "an asset", "name": "Files", "tool": self.tool.SPEC.name,
            "repository": str(self.repository), "sources": [str(self.source)], "settings": self.settings,
            "secrets": {"password": self.password}, "slices": 3,
        }  # fmt: skip
        return BackupOrder(**{**given, **changes})

    def repository_seen(self, scratch: str, **changes: Any) -> Repository:
        """For calling an adapter directly."""
        path = self.home / scratch
        path.mkdir(exist_ok=True)
        given = {
            "place": str(self.repository), "sources": [str(self.source)],
            "scratch": path, "run": Programs(path),
            "settings": self.tool.SPEC.read(self.settings), "secrets": {"password": self.password},
            "now_ms": wall_ms,
        }  # fmt: skip
        return Repository(**{**given, **changes})

    async def look(self, **changes: Any) -> RepositoryReport:
        """A look by the adapter itself; the repository is as it was before."""
        before = state(self.repository) if self.repository.exists() else {}
        seen: RepositoryReport = await self.tool.look(self.repository_seen(f"look{new_id()}", **changes))
        if before:
            assert state(self.repository) == before
        return seen

    async def copy(self) -> CopySeen:
        """The newest."""
        return (await self.look()).copies[-1]

    async def work(self, work: Work, *, agent: Path | None = None, **changes: Any) -> ProofReport:
        """One wanted work, done by the agent's own scheduler; the repository is as it was before."""
        before = state(self.repository) if self.repository.exists() else {}
        proof = await self.proof(work, agent=agent, **changes)
        if before:
            assert state(self.repository) == before
        return proof

    async def proof(self, work: Work, *, agent: Path | None = None, **changes: Any) -> ProofReport:
        """The same without a look at the repository before and after."""
        proof = new_id()
        self.reports.clear()
        order = self.order(wanted=[WantedWork(proof, work, wall_ms())], **changes)
        await self.until(
            order, lambda report: isinstance(report, ProofReport) and report.proof == proof, agent=agent
        )
        found = [one for _, one in self.reports if isinstance(one, ProofReport) and one.proof == proof]
        assert len(found) == 1
        return found[0]

    async def look_by_agent(self, enough: Callable[[BackupReport], bool]) -> None:
        """A wanted look, until it has brought such a report."""
        await self.until(self.order(wanted=[WantedWork(new_id(), "look", wall_ms())]), enough)

    async def until(
        self,
        order: BackupOrder,
        enough: Callable[[BackupReport], bool],
        *,
        agent: Path | None = None,
        **more: Any,
    ) -> Working:
        """Let the agent work until it has delivered such a report."""
        stop = asyncio.Event()

        def deliver(asset: str, report: BackupReport) -> None:
            msgspec.msgpack.decode(
                msgspec.msgpack.encode(report), type=BackupReport
            )  # within the wire's limits
            self.reports.append((asset, report))
            if enough(report):
                stop.set()

        working = Working((agent or self.agent) / DIRECTORY, deliver, now_ms=wall_ms, reserve=0, **more)
        working.update([order])
        await asyncio.wait_for(working.run(stop), WAIT_S)
        assert working.failed == working.lost == 0
        return working

    def bound(self) -> Bound:
        """What the server knows of the newest run."""
        run = self.records.runs(self.plan)[0]
        return Bound(run=run.run, copy=run.copy, manifest=run.manifest, canary=run.canary)


@cache
def _empty_restic() -> Path:
    """An empty repository whose password costs milliseconds instead of half a second a call: the master key
    is wrapped again with weak parameters. Source: restic, Design, Keys, Encryption and MAC."""
    place = Path(tempfile.mkdtemp()) / "repository"
    given = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(place.parent / "cache")}
    subprocess.run(["restic", "init", "-q", "-r", str(place)], env=os.environ | given, check=True)
    (path,) = (place / "keys").iterdir()
    key = json.loads(path.read_bytes())
    master = _sealed(base64.b64decode(key["data"]), _of_password(key), opens=True)
    key |= {"N": 2, "r": 1, "p": 1}
    key["data"] = base64.b64encode(_sealed(os.urandom(16) + master, _of_password(key), opens=False)).decode()
    content = json.dumps(key).encode()
    path.unlink()
    (place / "keys" / hashlib.sha256(content).hexdigest()).write_bytes(content)
    atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    return place


@cache
def _empty_borg() -> Path:
    place = Path(tempfile.mkdtemp()) / "repository"
    given = {"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(place.parent / "base")}
    subprocess.run(["borg", "init", "-e", "repokey", str(place)], env=os.environ | given, check=True)
    atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    return place


def _of_password(key: dict[str, Any]) -> bytes:
    """Encryption key (32 bytes), k and r of the MAC (16 each)."""
    salt = base64.b64decode(key["salt"])
    return Scrypt(salt, length=64, n=key["N"], r=key["r"], p=key["p"]).derive(PASSWORD.encode())


def _sealed(data: bytes, key: bytes, *, opens: bool) -> bytes:
    """Nonce, text: sealed by AES-256-CTR with Poly1305-AES; or, with its MAC behind, opened."""
    nonce, body = data[:16], data[16:-16] if opens else data[16:]
    cipher = Cipher(algorithms.AES(key[:32]), modes.CTR(nonce)).encryptor()
    if opens:
        return cipher.update(body)
    text = cipher.update(body)
    s = Cipher(algorithms.AES(key[32:48]), modes.ECB()).encryptor().update(nonce)  # as Poly1305-AES has it
    return nonce + text + Poly1305.generate_tag(key[48:64] + s, text)


def flip(path: Path, at: int = -1) -> None:
    """One bit, in the middle unless told where."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at < 0 else at] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode)
