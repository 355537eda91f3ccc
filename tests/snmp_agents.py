"""SNMP agents for tests and benchmarks: a real snmpd, snmpsim with recordings, and one of our own over UDP
that answers fast, late, in circles or from another address, as a test wants it."""

import bisect
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from forestall.collect.snmp import ber

TAGS = {
    "integer": 0x02,
    "octets": 0x04,
    "oid": 0x06,
    "counter": 0x41,
    "gauge": 0x42,
    "ticks": 0x43,
    "counter64": 0x46,
    "address": 0x40,
}
END_OF_VIEW = ber.encode(0x82, b"")
NO_SUCH = ber.encode(0x81, b"")
ROOM_BYTES = 1_400


def encode_value(value: tuple[str, int | str | bytes]) -> bytes:
    """`("counter", 5)` as BER."""
    kind, what = value
    if kind == "oid":
        return ber.encode_oid(str(what))
    if isinstance(what, bytes):
        return ber.encode(TAGS[kind], what)
    if isinstance(what, str):
        return ber.encode(TAGS[kind], what.encode())
    return ber.encode_integer(what, TAGS[kind])


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Tree:
    """OIDs in order, each varbind encoded once."""

    def __init__(self, values: Mapping[str, tuple[str, int | str | bytes]]) -> None:
        ordered = sorted((tuple(map(int, oid.split("."))), oid) for oid in values)
        self.keys = [key for key, _ in ordered]
        self.binds = [
            ber.encode(ber.SEQUENCE, ber.encode_oid(oid) + encode_value(values[oid])) for _, oid in ordered
        ]

    def answer(self, data: bytes) -> bytes:
        """The response to a v1 or v2c request."""
        version, community, pdu = ber.decode_all(ber.decode(data).content)
        number, _, second, binds = ber.decode_all(pdu.content)
        oids = [ber.decode_oid(ber.decode(one.content)) for one in ber.decode_all(binds.content)]
        found: list[bytes] = []
        if pdu.tag == ber.GET_BULK:
            at = self._after(oids[0])
            room = ROOM_BYTES
            for bind in self.binds[at : at + ber.decode_integer(second)]:
                room -= len(bind)
                if room < 0:
                    break
                found.append(bind)
            if not found:
                found.append(ber.encode(ber.SEQUENCE, ber.encode_oid(oids[0]) + END_OF_VIEW))
        else:
            for oid in oids:
                at = self._after(oid) if pdu.tag == ber.GET_NEXT else self._at(oid)
                missing = END_OF_VIEW if pdu.tag == ber.GET_NEXT else NO_SUCH
                good = 0 <= at < len(self.binds)
                found.append(
                    self.binds[at] if good else ber.encode(ber.SEQUENCE, ber.encode_oid(oid) + missing)
                )
        body = (
            ber.encode_integer(ber.decode_integer(number))
            + ber.encode_integer(0)
            + ber.encode_integer(0)
            + ber.encode(ber.SEQUENCE, b"".join(found))
        )
        return ber.encode(
            ber.SEQUENCE,
            ber.encode(version.tag, version.content)
            + ber.encode(ber.OCTETS, community.content)
            + ber.encode(ber.RESPONSE, body),
        )

    def _after(self, oid: str) -> int:
        return bisect.bisect_right(self.keys, tuple(map(int, oid.split("."))))

    def _at(self, oid: str) -> int:
        key = tuple(map(int, oid.split(".")))
        at = bisect.bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key else -1


Answerer = Callable[[bytes], bytes | None]


@contextmanager
def answering(answer: Answerer, *, from_other: bool = False) -> Iterator[int]:
    """The port of an agent on loopback that answers so (None: not at all); `from_other`: from another port's
    socket at 127.0.0.2."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        listening.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.2", 0))
        listening.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    data, sender = listening.recvfrom(65_535)
                except TimeoutError:
                    continue
                reply = answer(data)
                if reply is not None:
                    (other if from_other else listening).sendto(reply, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            stop.set()
            thread.join(5)


SNMPD = """agentAddress udp:127.0.0.1:{port}
rocommunity public
createUser sha256 SHA-256 auth-pass-1 AES priv-pass-1
rouser sha256 priv
createUser sha1 SHA auth-pass-1 AES priv-pass-1
rouser sha1 priv
sysLocation Rack 4, second floor
sysName core.example.net
"""


@contextmanager
def running(
    command: list[str], folder: Path, ready: Callable[[], bool], *, within_s: float = 60.0
) -> Iterator[None]:
    """A process that is ended afterwards; begun when it is ready."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env={
            "PATH": "/usr/sbin:/usr/bin:/bin", "SNMP_PERSISTENT_DIR": str(folder / "kept"),
            "HOME": str(folder),
        })  # fmt: skip
        try:
            deadline = time.monotonic() + within_s
            while not ready():
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline, (folder / "output").read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(10)


def answers(port: int, community: str = "public") -> bool:
    """Whether an agent on loopback answers a v2c question."""
    bind = ber.encode(ber.SEQUENCE, ber.encode_oid("1.3.6.1.2.1.1.3.0") + ber.encode(ber.NULL, b""))
    pdu = ber.encode_integer(7) + ber.encode_integer(0) * 2 + ber.encode(ber.SEQUENCE, bind)
    message = ber.encode_integer(1) + ber.encode(ber.OCTETS, community.encode()) + ber.encode(ber.GET, pdu)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.2)
        one.connect(("127.0.0.1", port))
        try:
            one.send(ber.encode(ber.SEQUENCE, message))
            return bool(one.recv(2_000))
        except OSError:
            return False


@contextmanager
def snmpd(folder: Path, more: str = "") -> Iterator[int]:
    """The port of a real snmpd: v2c `public`, v3 users `sha256` and `sha1` (authPriv)."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "snmpd.conf").write_text(SNMPD.format(port=port) + more)
    command = ["/usr/sbin/snmpd", "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf")]
    with running(command, folder, lambda: answers(port)):
        yield port


@contextmanager
def snmpsim(recordings: Path, *, by_v3: str = "") -> Iterator[int]:
    """The port of a real snmpsim that plays these recordings by v2c: a community is a file's name; and one of
    them, `by_v3`, to the v3 user `sha256` as snmpd has it, in the context without a name."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, cache = folder / "data", folder / "cache"
        shutil.copytree(recordings, data)
        cache.mkdir()
        if by_v3:
            shutil.copy(recordings / f"{by_v3}.snmprec", data / ".snmprec")
        command = [
            str(Path(sys.executable).with_name("snmpsim-command-responder")), f"--data-dir={data}",
            f"--cache-dir={cache}", f"--agent-udpv4-endpoint=127.0.0.1:{port}", "--logging-method=null",
            "--v3-user=sha256", "--v3-auth-key=auth-pass-1", "--v3-auth-proto=SHA256",
            "--v3-priv-key=priv-pass-1", "--v3-priv-proto=AES",
            *(["--process-user=root", "--process-group=root"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        community = min(one.stem for one in recordings.glob("*.snmprec"))
        with running(command, folder, lambda: answers(port, community), within_s=60):
            yield port


RECORDED = {
    "2": "integer", "4": "octets", "6": "oid", "65": "counter", "66": "gauge", "67": "ticks",
    "70": "counter64",
}  # fmt: skip


def recorded(text: str) -> dict[str, tuple[str, int | str | bytes]]:
    """The values of a recording in snmpsim's format: `OID|tag|value`, `4x` for bytes in hexadecimal."""
    found: dict[str, tuple[str, int | str | bytes]] = {}
    for line in text.splitlines():
        oid, tag, value = line.split("|", 2)
        if tag == "4x":
            found[oid] = ("octets", bytes.fromhex(value))
        elif tag == "64":
            found[oid] = ("address", bytes(int(part) for part in value.split(".")))
        else:
            kind = RECORDED[tag]
            found[oid] = (kind, value if kind in ("octets", "oid") else int(value))
    return found


class Player:
    """A recorded device whose values a test changes between polls."""

    def __init__(self, recording: Path) -> None:
        self.values = recorded(recording.read_text())
        self.tree = Tree(self.values)

    def change(self, changes: Mapping[str, int | str | bytes]) -> None:
        """New values, of the type that they had."""
        self.values |= {oid: (self.values[oid][0], value) for oid, value in changes.items()}
        self.tree = Tree(self.values)

    def answer(self, data: bytes) -> bytes:
        return self.tree.answer(data)
