"""The gate in a real web process: who may push, how much, and what a refusal says."""

import base64
import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contract.daemons import free_port
from forestall.intake.bearers import TRIES_PER_PEER_MAX
from forestall.intake.envelope import decode_envelope
from forestall.intake.pushed import decode_pushed
from forestall.intake.queue import START, QueueReader
from forestall.kernel.signs import BEAT_S

LINE = json.dumps({"_msg": "hello", "host": "pusher"}).encode()


@dataclass
class Server:
    """Where it is, its tokens by name, its data."""

    url: str
    tokens: dict[str, str]
    data: Path

    def push(self, authorization: str, body: bytes = LINE, **headers: str) -> httpx.Response:
        given = {"authorization": authorization} if authorization else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{self.url}/insert/jsonline", content=body, headers=given | named, timeout=30)

    def with_token(self, name: str, body: bytes = LINE, **headers: str) -> httpx.Response:
        return self.push(f"Bearer {self.tokens[name]}", body, **headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data, port = tmp_path_factory.mktemp("data"), free_port()
    command = [sys.executable, str(Path(__file__).with_name("push_server.py")), str(data), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        assert told, "the server did not start"
        yield Server(f"http://127.0.0.1:{port}", json.loads(told), data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return answer.status_code, f"{problem['title']} {problem.get('detail', '')}"


def test_what_is_answered_is_durable_with_client_asset_and_peer(server: Server) -> None:
    assert server.with_token("asset").status_code == 200
    frames = QueueReader(server.data / "queue" / "web").read(START, max_bytes=1 << 24)
    envelope = decode_envelope(frames[-1][1])
    assert (envelope.kind, envelope.client, envelope.asset, envelope.peer, envelope.transport) == (
        "pushed",
        server.tokens["client"],
        server.tokens["asset_id"],
        "127.0.0.1",
        "jsonlines",
    )
    assert decode_pushed(envelope.body).logs.message.to_pylist() == ["hello"]


def test_every_way_to_send_a_token_opens_the_gate(server: Server) -> None:
    good = server.tokens["good"]
    basic = base64.b64encode(f"whoever:{good}".encode()).decode()
    key = base64.b64encode(f"id:{good}".encode()).decode()
    for header in (f"Bearer {good}", f"Basic {basic}", f"ApiKey {key}", f"ApiKey {good}"):
        assert server.push(header).status_code == 200, header


def test_without_a_token_that_opens_it_is_401(server: Server) -> None:
    for header in ("", "Bearer x", "Bearer fst_wrong", "Basic !"):
        answer = server.push(header)
        assert refusal(answer)[0] == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "a token with the right intake" in refusal(answer)[1]
    for name in ("expired", "revoked"):
        assert refusal(server.with_token(name))[0] == 401


def test_a_token_that_may_not_push_is_403_and_says_why(server: Server) -> None:
    assert refusal(server.with_token("reader")) == (
        403,
        "the token reader has not the right intake: make one that has it ",
    )
    status, said = refusal(server.with_token("unbound"))
    assert status == 403 and "not bound to a client" in said


def test_a_body_beyond_the_tokens_size_or_ratio_is_413(server: Server) -> None:
    assert server.with_token("small").status_code == 200
    assert refusal(server.with_token("small", LINE * 3)) == (
        413,
        "a body of this token may have 50 bytes Send smaller batches.",
    )
    bomb = gzip.compress(bytes(70 << 20))
    assert refusal(server.with_token("good", bomb, content_encoding="gzip"))[0] == 413


def test_unknown_and_damaged_encodings_are_415_and_400(server: Server) -> None:
    status, said = refusal(server.with_token("good", LINE, content_encoding="br"))
    assert status == 415 and "identity, gzip, deflate, zstd" in said
    assert refusal(server.with_token("good", LINE, content_encoding="gzip"))[0] == 400
    assert server.with_token("good", gzip.compress(LINE), content_encoding="gzip").status_code == 200


def test_who_sends_too_fast_is_told_when_to_come_again(server: Server) -> None:
    body = json.dumps({"_msg": "x" * 2000, "host": "pusher"}).encode()
    assert server.with_token("slow", body).status_code == 200
    answer = server.with_token("slow", body)
    status, said = refusal(answer)
    assert status == 429 and "faster than it may" in said
    assert 1 <= int(answer.headers["retry-after"]) < 600
    assert server.with_token("good", body).status_code == 200


def numbers(server: Server) -> dict[str, int]:
    told = httpx.get(f"{server.url}/metrics").text
    return {
        outcome: int(line.rpartition(" ")[2])
        for line in told.splitlines()
        for outcome in ("accepted", "rejected", "dropped")
        if line.startswith(f'forestall_intake_records_total{{door="jsonlines",outcome="{outcome}"}}')
    }


def test_what_is_taken_and_refused_is_counted_by_door(server: Server) -> None:
    before = settled(server)
    body = LINE + b"\n" + LINE + b"\nthis is no object\n" + LINE
    assert server.with_token("good", body).status_code == 400
    after = before | {"accepted": before["accepted"] + 3, "rejected": before["rejected"] + 1}
    until(lambda: numbers(server) == after)


def settled(server: Server) -> dict[str, int]:
    """The numbers when they do not change any more (they are told every two seconds)."""
    seen = numbers(server)
    deadline = time.monotonic() + 60
    while True:
        pause = time.monotonic() + 2 * BEAT_S
        while time.monotonic() < pause:
            time.sleep(0.1)
        now = numbers(server)
        if now == seen:
            return now
        assert time.monotonic() < deadline
        seen = now


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_who_tries_many_tokens_is_not_heard_any_more(server: Server) -> None:
    tries = (server.push(f"Bearer fst_{k}") for k in range(2 * TRIES_PER_PEER_MAX + 5))  # may begin anew once
    refused = next(answer for answer in tries if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert server.with_token("good").status_code == 200  # who is known is
