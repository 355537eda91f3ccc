"""curl pushes JSON lines to a real web process."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from contract.pushing import Installation, installation


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def curl(server: Installation, body: bytes, *more: str, query: str = "", tmp_path: Path) -> tuple[int, Any]:
    """What curl was answered."""
    (tmp_path / "body").write_bytes(body)
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", "--data-binary", f"@{tmp_path / 'body'}",
         "-H", f"Authorization: Bearer {server.token}", *more, f"{server.url}/insert/jsonline{query}"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    text, _, status = done.stdout.decode().rpartition("\n")
    return int(status), json.loads(text) if text else None


def lines(count: int, mark: str) -> bytes:
    return b"".join(
        b'{"_msg":"%s %d","hostname":"web1","app_name":"nginx","level":"warn","user":"u%d"}\n'
        % (mark.encode(), k, k)
        for k in range(count)
    )


def found(server: Installation, mark: str) -> list[tuple[str, str, int, str, str]]:
    return [row for row in server.logs() if row[3].startswith(mark)]


def test_curl_posts_lines(server: Installation, tmp_path: Path) -> None:
    assert curl(server, lines(1000, "plain"), tmp_path=tmp_path) == (200, {"accepted": 1000})
    rows = found(server, "plain")
    assert len(rows) == 1000
    assert rows[7] == ("web1", "nginx", 4, "plain 7", '{"user":"u7"}')


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_curl_posts_packed(server: Installation, tmp_path: Path, encoding: str, pack: Any) -> None:
    packed = pack(lines(500, encoding))
    told = curl(server, packed, "-H", f"Content-Encoding: {encoding}", tmp_path=tmp_path)
    assert told == (200, {"accepted": 500})
    assert len(found(server, encoding)) == 500


def test_parameters_of_victorialogs(server: Installation, tmp_path: Path) -> None:
    body = b'{"event":{"text":"named by a parameter"},"tenant":"blue"}\n'
    query = "?_msg_field=event.text&_stream_fields=tenant&_time_field=when"
    assert curl(server, body, query=query, tmp_path=tmp_path)[0] == 200
    assert found(server, "named by")[0][1] == "blue"


def test_bad_lines_are_named_and_the_others_taken(server: Installation, tmp_path: Path) -> None:
    status, told = curl(server, lines(2, "good") + b'{"a":\n[1]\n' + lines(1, "good"), tmp_path=tmp_path)
    assert status == 400
    assert (told["accepted"], told["rejected_count"]) == (3, 2)
    assert [one["record"] for one in told["rejected"]] == ["records[2]", "records[3]"]
    assert "not JSON" in told["rejected"][0]["reason"]
    assert len(found(server, "good")) == 3


def test_refusals(server: Installation, tmp_path: Path) -> None:
    assert curl(server, b"", tmp_path=tmp_path) == (200, {"accepted": 0})
    assert curl(server, b"x", "-X", "GET", tmp_path=tmp_path)[0] == 405
    assert curl(server, b"x", "-H", "Authorization: Bearer fst_no", tmp_path=tmp_path)[0] == 401
    assert curl(server, b"x", "-H", "Content-Encoding: br", tmp_path=tmp_path)[0] == 415
    assert (
        curl(server, gzip.compress(bytes(80 << 20)), "-H", "Content-Encoding: gzip", tmp_path=tmp_path)[0]
        == 413
    )
    many = b"{}\n" * 200_001
    status, told = curl(server, many, tmp_path=tmp_path)
    assert status == 400
    assert "smaller batches" in told["title"]


def test_what_is_sent_again_is_stored_once(server: Installation, tmp_path: Path) -> None:
    timed = b'{"_time":"2026-11-23T10:00:00.125Z","_msg":"again %s","hostname":"web1"}\n'
    body = timed % b"by times" + timed % b"by times too"
    plain = lines(2, "again by key")
    for _ in range(2):
        assert curl(server, body, tmp_path=tmp_path) == (200, {"accepted": 2})
        assert curl(server, plain, "-H", "Idempotency-Key: run-7", tmp_path=tmp_path)[0] == 200
    assert sorted(row[3] for row in found(server, "again")) == [
        "again by key 0", "again by key 1", "again by times", "again by times too",
    ]  # fmt: skip
