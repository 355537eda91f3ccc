"""A real agent and a real server: enrolled, killed, cut off, rotated under; every line arrives once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.daemons import free_port
from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.identity import Identity, new_key, read_identity, write_identity
from forestall.collect.agent.sending import KEY_LIVES_S, NEW_KEY
from forestall.collect.agent.sign import sign
from forestall.intake.envelope import decode_envelope
from forestall.intake.queue import START, QueueReader
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import (
    BATCH_MAX_BYTES,
    Batch,
    Observations,
    Sample,
    decode_batch,
    encode_batch,
)

WAIT_S = 60.0
AGENT = "import asyncio, sys; from pathlib import Path; from forestall.collect.agent.run import run_agent; "
AGENT += "asyncio.run(run_agent(Path(sys.argv[1])))"


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.05)


@contextmanager
def server(data: Path, port: int) -> Iterator[str]:
    """A web process; yields a fresh enrolment token."""
    command = [sys.executable, str(Path(__file__).with_name("agent_server.py")), str(data), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        token = process.stdout.readline().strip()
        assert token, "the server did not start"
        yield token
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def agent(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", AGENT, str(directory)], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def batches(data: Path) -> list[Batch]:
    """What the server made durable; a batch that came twice counts once."""
    reader, position = QueueReader(data / "queue" / "web"), START
    found: dict[int, Batch] = {}
    while frames := reader.read(position, max_bytes=1 << 28):
        position = frames[-1][0]
        for _, frame in frames:
            batch = decode_batch(zstandard.ZstdDecompressor().decompress(decode_envelope(frame).body))
            found.setdefault(batch.number, batch)
    return [found[number] for number in sorted(found)]


def parts(data: Path) -> list[Observations]:
    return [part for batch in batches(data) for part in batch.observations]


def lines(data: Path) -> list[str]:
    return [record.message for part in parts(data) for record in part.logs if record.source == "counter"]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server's address and a token, for tests that need no more."""
    port = free_port()
    with server(tmp_path_factory.mktemp("data"), port) as token:
        yield f"http://127.0.0.1:{port}", token


def test_killed_cut_off_and_rotated_under_it_delivers_every_line_once(tmp_path: Path) -> None:
    data, home, log = tmp_path / "data", tmp_path / "agent", tmp_path / "app.log"
    port = free_port()
    log.touch()
    wrote = 0

    def write(count: int) -> None:
        nonlocal wrote
        with log.open("a") as file:
            for _ in range(count):
                file.write(f"2026-11-23T10:00:00+00:00 here counter[1]: line {wrote}\n")
                wrote += 1

    with server(data, port) as token:
        enrol(home, url=f"http://127.0.0.1:{port}", token=token)
        (home / "agent.toml").write_text(f'[look.log_files]\nmore = ["{log}"]\n')
        assert (home / "identity.json").stat().st_mode & 0o077 == 0
        with pytest.raises(Trouble, match="was used"):
            enrol(tmp_path / "other", url=f"http://127.0.0.1:{port}", token=token)
        with agent(home):
            until(lambda: any(part.snapshots for part in parts(data)), "the first configurations arrive")
            metrics = {sample.metric for part in parts(data) for sample in part.samples}
            assert {"memory.used_ratio", "disk.used_ratio", "uptime_s"} <= metrics
            write(50)
            until(lambda: len(lines(data)) >= 50, "the first lines arrive")
            write(30)
        for _ in range(3):  # killed at any time
            write(20)
            with agent(home):
                before = len(lines(data))
                write(20)
                until(lambda before=before: len(lines(data)) > before, "lines arrive after a kill")  # type: ignore[misc]
    spool = home / "spool"
    waiting = {path.name: path.stat().st_size for path in spool.iterdir()}
    with agent(home) as process:  # the server is away
        write(40)
        until(
            lambda: {path.name: path.stat().st_size for path in spool.iterdir()} != waiting,
            "more batches wait on disk",
        )
        log.rename(tmp_path / "app.log.1")
        write(40)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    write(10)
    with server(data, port), agent(home):
        until(lambda: len(lines(data)) >= wrote, "all lines arrive")
    assert lines(data) == [f"line {number}" for number in range(wrote)]
    numbers = [batch.number for batch in batches(data)]
    assert len(set(numbers)) == len(numbers)
    assert sum(batch.dropped for batch in batches(data)) == 0


def test_an_agent_renews_its_key_by_itself_and_survives_a_crash_in_the_middle(tmp_path: Path) -> None:
    """After 90 days; the old key opens nothing then. A crash may come before or after the server was told."""
    data, home, log = tmp_path / "data", tmp_path / "agent", tmp_path / "app.log"
    url = f"http://127.0.0.1:{(port := free_port())}"
    log.touch()

    def write(first: int, count: int) -> None:
        with log.open("a") as file:
            for number in range(first, first + count):
                file.write(f"2026-11-23T10:00:00+00:00 here counter[1]: line {number}\n")

    def key() -> str:
        return read_identity(home).key

    with server(data, port) as token:
        first = enrol(home, url=url, token=token)
        (home / "agent.toml").write_text(f'[look.log_files]\nmore = ["{log}"]\n')
        with agent(home):
            until(lambda: any(part.snapshots for part in parts(data)), "it sends")
            assert key() == first.key, "a fresh key is not renewed"
        write_identity(home, replace(first, key_since_s=time.time() - KEY_LIVES_S - 1))
        with agent(home):
            until(lambda: key() != first.key, "a key of 90 days is renewed")
            write(0, 5)
            until(lambda: len(lines(data)) >= 5, "lines arrive under the new key")
        assert not (home / NEW_KEY).exists()
        assert post(url, first, batch_of(1 << 52)).status_code == 401, "the old key opens nothing"

        second = read_identity(home)
        told = new_key(second, now_s=time.time())  # the server has it, and then the agent was killed
        body = json.dumps({"public_key": told.public_key}).encode()
        assert post(url, second, body, path="/agent/v1/rotate", encoding="identity").is_success
        write_identity(home, told, name=NEW_KEY)
        with agent(home):
            until(lambda: key() == told.key, "the key that the server knows is taken")
            write(5, 5)
            until(lambda: len(lines(data)) >= 10, "lines arrive after it")

        untold = new_key(told, now_s=time.time())  # killed before the server was told
        write_identity(home, untold, name=NEW_KEY)
        with agent(home):
            until(lambda: key() == untold.key, "the server is told of it")
            write(10, 5)
            until(lambda: len(lines(data)) >= 15, "lines arrive after it")
    assert lines(data) == [f"line {number}" for number in range(15)]


def post(url: str, identity: Identity, body: bytes, **changes: str) -> httpx.Response:
    at_ms = int(changes.get("at_ms", time.time_ns() // 1_000_000))
    key = Ed25519PrivateKey.generate() if "wrong_key" in changes else identity.private_key
    path = changes.get("path", "/agent/v1/observations")
    signed = sign(key, collector=identity.collector, method="POST", path=path, body=body, at_ms=at_ms)
    headers = {"authorization": changes.get("authorization", signed), "content-encoding": "zstd"}
    headers |= {"content-encoding": changes["encoding"]} if "encoding" in changes else {}
    return httpx.post(f"{url}{path}", content=body + changes.get("more", "").encode(), headers=headers)


def batch_of(number: int, **fields: object) -> bytes:
    part = Observations(**({"samples": [Sample(1, "a.b", "", 1.0)]} | fields))  # type: ignore[arg-type]
    return zstandard.ZstdCompressor().compress(encode_batch(Batch(number, 1, [part])))


def test_the_door_refuses_what_is_not_a_batch_of_the_collector(
    installation: tuple[str, str], tmp_path: Path
) -> None:
    url, token = installation
    identity = enrol(tmp_path, url=url, token=token)
    assert post(url, identity, batch_of(1)).json() == {"accepted": 1}
    late = str(time.time_ns() // 1_000_000 - 6 * 60_000)
    assert post(url, identity, batch_of(2), at_ms=late).status_code == 401
    assert post(url, identity, batch_of(2), wrong_key="yes").status_code == 401
    assert post(url, identity, batch_of(2), more="x").status_code == 401
    assert post(url, identity, batch_of(2), authorization="Bearer x").status_code == 401
    assert post(url, identity, batch_of(2), encoding="gzip").status_code == 415
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (BATCH_MAX_BYTES - 1))
    assert "times its size" in post(url, identity, bomb).json()["title"]
    assert post(url, identity, os.urandom(100)).status_code == 400
    assert post(url, identity, os.urandom(5 << 20)).status_code == 413
    wrong = zstandard.ZstdCompressor().compress(encode_batch(Batch(2, 1, [Observations(asset="x" * 20)])))
    assert "observations[0].asset" in post(url, identity, wrong).json()["title"]
    answer = post(url, identity, batch_of(2, asset="0000000000000"))
    assert answer.json()["rejected"][0]["record"] == "observations[0]"

    fresh = Ed25519PrivateKey.generate()
    body = b'{"public_key": "%s"}' % fresh.public_key().public_bytes_raw().hex().encode()
    path, at_ms = "/agent/v1/rotate", time.time_ns() // 1_000_000
    header = sign(
        identity.private_key, collector=identity.collector, method="POST", path=path, body=body, at_ms=at_ms
    )
    assert httpx.post(f"{url}{path}", content=body, headers={"authorization": header}).is_success
    assert post(url, identity, batch_of(3)).status_code == 401
    renewed = Identity(
        **{name: getattr(identity, name) for name in ("collector", "client", "asset", "url")},
        key=fresh.private_bytes_raw().hex(),
    )
    assert post(url, renewed, batch_of(3)).json() == {"accepted": 3}
    assert read_identity(tmp_path) == identity


def test_a_second_agent_in_one_directory_says_so(tmp_path: Path, installation: tuple[str, str]) -> None:
    from forestall.collect.agent.identity import lock_directory, write_identity

    write_identity(tmp_path, Identity("c" * 13, "d" * 13, "e" * 13, installation[0], "00" * 32))
    with lock_directory(tmp_path), agent(tmp_path) as process:
        assert process.stderr is not None
        assert b"another agent runs" in process.stderr.read()


def test_an_address_of_the_internet_without_encryption_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="not encrypted"):
        enrol(tmp_path, url="http://1.1.1.1", token="x")
