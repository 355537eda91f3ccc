"""SSH to a device: its host key is pinned at the first use, what it is old in must be allowed, nothing of the
collector's own keys or settings is used. Source: RFC 4253, RFC 4256; asyncssh."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from forestall.collect.answers import NoAnswer, NotAsked
from forestall.collect.devices.session import Cut
from forestall.collect.remembering import Memory
from forestall.collect.streams import say_failure

COLUMNS, ROWS = 511, 0  # wide lines, and no pages for who asks the terminal
EXEC_MAX_BYTES = 4 << 20
PIECE_CHARS = 64 << 10
CLOSE_S = 5.0
# What modern servers no longer speak and old devices speak alone; offered after everything else.
OLD_KEX = "+diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1"
OLD_CIPHERS = "+aes256-cbc,aes192-cbc,aes128-cbc,3des-cbc"
OLD_MACS = "+hmac-md5,hmac-sha1-96,hmac-md5-96"
OLD_KEYS = ("ssh-rsa", "ssh-dss")
KEY_ALGORITHMS = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512",
    "rsa-sha2-256", "ssh-rsa",
)  # fmt: skip


class HostKeyChanged(NotAsked):
    """The device shows another key than before: nothing was sent to it. `shown` is the new fingerprint."""

    def __init__(self, reason: str, shown: str) -> None:
        super().__init__(reason)
        self.shown = shown


@dataclass(slots=True)
class Pin:
    """The host key that a place must show: `trusted` is what a person wrote, else what was seen first."""

    memory: Memory
    place: str
    trusted: str = ""
    shown: str = ""

    @property
    def known(self) -> str:
        """The fingerprint that is expected, "" when any is taken and remembered."""
        return self.trusted or self.memory.get(f"host-key {self.place}")

    def accept(self, algorithm: str, fingerprint: str) -> bool:
        """Whether this key is the expected one; the first one is remembered."""
        self.shown = f"{algorithm} {fingerprint}"
        known = self.known
        if not known:
            self.memory.put(f"host-key {self.place}", self.shown)
            return True
        if fingerprint != known.rpartition(" ")[2]:
            return False
        if self.trusted and not self.memory.get(f"host-key {self.place}").endswith(fingerprint):
            self.memory.put(f"host-key {self.place}", self.shown)
        return True


@dataclass(slots=True)
class _Client(asyncssh.SSHClient):
    """Judges the host key; answers what the device asks with the password, each question once."""

    pin: Pin
    password: str = field(repr=False, default="")
    asked: int = 0

    def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
        """Only the pinned key, or the first one."""
        return self.pin.accept(key.get_algorithm(), key.get_fingerprint())

    def password_auth_requested(self) -> str | None:
        """The password, once."""
        self.asked += 1
        return self.password if self.password and self.asked == 1 else None

    def kbdint_auth_requested(self) -> str | None:
        """Keyboard-interactive, when there is a password."""
        return "" if self.password else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Any
    ) -> list[str] | None:
        """The password to a hidden question; a second round of them means that it was wrong."""
        if not prompts:
            return []
        self.asked += 1
        return [self.password] * len(prompts) if self.asked == 1 and len(prompts) == 1 else None


@asynccontextmanager
async def connected(
    address: str,
    port: int,
    *,
    place: str,
    credential: Mapping[str, str],
    pin: Pin,
    old: bool,
    timeout_s: float,
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection that is signed in. Raises NotAsked (another key, a wrong credential), NoAnswer."""
    client = _Client(pin, credential.get("password", ""))
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncssh.connect(
                address, port, client_factory=lambda: client, **_options(credential, pin, old)
            )
    except asyncssh.HostKeyNotVerifiable as error:
        if pin.shown and pin.known:
            raise HostKeyChanged(
                f"{place} shows another host key than before ({pin.shown}, known is {pin.known}): nothing "
                "was sent. If the device was replaced or reset, put the new key into this probe's host_key",
                pin.shown,
            ) from error
        raise NoAnswer(f"{place} shows a host key that cannot be read") from error
    except asyncssh.PermissionDenied as error:
        raise NotAsked(
            f"{place} refuses the user {credential.get('user', '')!r}: correct the credential"
        ) from error
    except asyncssh.KeyExchangeFailed as error:
        how = "" if old else "; if the device is that old, set old_algorithms of this probe to yes"
        raise NoAnswer(f"{place} speaks no SSH that this collector does: {error.reason}{how}") from error
    except TimeoutError as error:
        raise NoAnswer(f"{place} did not let us in within {timeout_s:.3g} s") from error
    except asyncssh.Error as error:
        raise NoAnswer(f"{place} ended SSH: {error.reason}") from error
    except OSError as error:
        raise NoAnswer(say_failure(error, place)) from error
    try:
        yield connection
    finally:
        connection.abort()
        with suppress(TimeoutError):  # the socket is closed before the next device is asked
            async with asyncio.timeout(CLOSE_S):
                await connection.wait_closed()


def _options(credential: Mapping[str, str], pin: Pin, old: bool) -> dict[str, Any]:
    known = pin.known.partition(" ")[0] if " " in pin.known else ""
    names = [*KEY_ALGORITHMS, *(OLD_KEYS[1:] if old else ())]
    if known == "ssh-rsa":
        first = [name for name in names if "rsa" in name]
    else:
        first = [name for name in names if name == known]
    options: dict[str, Any] = {
        "known_hosts": ([], [], []),
        "username": credential.get("user", ""),
        "client_keys": _keys(credential),
        "agent_path": None,
        "config": None,
        "gss_host": None,
        "gss_auth": False,
        "gss_kex": False,
        "host_based_auth": False,
        "preferred_auth": ["publickey", "password", "keyboard-interactive"],
        "server_host_key_algs": [*first, *(name for name in names if name not in first)],
        "keepalive_interval": 15,
        "client_version": "Forestall",
    }
    if old:
        options |= {"kex_algs": OLD_KEX, "encryption_algs": OLD_CIPHERS, "mac_algs": OLD_MACS}
    return options


def _keys(credential: Mapping[str, str]) -> list[asyncssh.SSHKey]:
    """The private key of the credential. Raises NotAsked."""
    text = credential.get("private_key", "")
    if not text:
        return []
    try:
        return [asyncssh.import_private_key(text, credential.get("passphrase") or None)]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise NotAsked(
            "the private key of the credential cannot be read: is its passphrase right?"
        ) from error


class SshLine:
    """A shell channel as bytes."""

    def __init__(self, process: "asyncssh.SSHClientProcess[bytes]") -> None:
        self._process = process

    async def read(self, most: int) -> bytes:
        """Some bytes; b"" at the end."""
        try:
            return await self._process.stdout.read(most)
        except asyncssh.Error as error:
            raise OSError(error.reason) from error

    def write(self, data: bytes) -> None:
        """Send."""
        self._process.stdin.write(data)


async def open_shell(connection: asyncssh.SSHClientConnection, place: str) -> SshLine:
    """The device's shell, on a wide terminal. Raises NoAnswer."""
    try:
        process = await connection.create_process(
            term_type="vt100", term_size=(COLUMNS, ROWS), encoding=None, stderr=asyncssh.STDOUT
        )
    except asyncssh.Error as error:
        raise NoAnswer(f"{place} gives no shell: {error.reason}") from error
    return SshLine(process)


async def ask_exec(connection: asyncssh.SSHClientConnection, command: str) -> tuple[int | None, str, str]:
    """Exit status, output and errors of a command. Raises Cut."""
    try:
        async with connection.create_process(command, errors="replace") as process:
            output, errors = await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))
            if len(output) >= EXEC_MAX_BYTES:
                raise Cut(f"it wrote more than {EXEC_MAX_BYTES >> 20} MB")
            await process.wait_closed()
            return process.exit_status, output, errors
    except asyncssh.Error as error:
        raise Cut(f"the device ended the connection: {error.reason}") from error


async def _read_all(reader: "asyncssh.SSHReader[str]") -> str:
    parts: list[str] = []
    size = 0
    while size < EXEC_MAX_BYTES and (piece := await reader.read(PIECE_CHARS)):
        parts.append(piece)
        size += len(piece)
    return "".join(parts)
