"""The store role: owns chdb (ClickHouse in this process) and speaks enough of ClickHouse's HTTP interface on
loopback that an unmodified clickhouse-connect works against it as against a cluster.

One process owns a path. chdb must not be forked after it was loaded; this process never forks.
Source: ClickHouse documentation, HTTP interface.
"""

import argparse
import base64
import gzip
import hmac
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import lz4.frame
import zstandard

from forestall.kernel.errors import Trouble
from forestall.telemetry.durable import Dangling, Inserts, mend
from forestall.telemetry.merging import Merging
from forestall.telemetry.schema import DATABASE
from forestall.telemetry.screen import DATABASE_OF_FILES, refusal

BODY_MAX_BYTES = 128 << 20
PLAIN_MAX_BYTES = 256 << 20
ENCODINGS = ("gzip", "lz4", "zstd")
ZSTD_STEP_BYTES = 4096
DISCARD_MAX_BYTES = 1 << 20
SESSIONS = 8
WAIT_FOR_SESSION_S = 10.0
QUERY_MAX_S = 60
CONNECTIONS_MAX = 64
WAIT_FOR_ROOM_S = 5.0
HEALTH_S = 5.0
STOP_S = 15.0
IDLE_S = 120
# Settings that a caller may set; anything else in the address is ignored.
SETTINGS = frozenset(
    (
        "insert_deduplication_token",
        "insert_deduplicate",
        "log_comment",
        "max_execution_time",
        "max_memory_usage",
        "max_result_rows",
        "max_rows_to_read",
        "result_overflow_mode",
        "read_overflow_mode",
        "timeout_overflow_mode",
        "max_threads",
        "date_time_input_format",
        "session_timezone",
        "async_insert",
        "materialize_skip_indexes_on_insert",
        "use_query_condition_cache",
        "use_top_k_dynamic_filtering",
    )
)
INSERT = re.compile(r"(?is)^\s*INSERT\s+INTO\s+(?P<into>.+?)\s+FORMAT\s+(?P<format>\w+)\s*;?\s*$")
INSERT_HEAD = re.compile(rb"(?is)^\s*INSERT\s+INTO\s[^\n]+?\sFORMAT\s+\w+\s*$")
FORMAT = re.compile(r"(?is)\bFORMAT\s+(\w+)\s*;?\s*$")
SETTINGS_CLAUSE = re.compile(r"(?is)\bSETTINGS\s+\w+\s*=[^()]*$")
SELECTS = re.compile(r"(?is)[\s(]*(SELECT|WITH)\b")
VOCABULARY = re.compile(r"\bvocabulary\b")
CHANGES_TABLES = re.compile(r"(?is)^\s*(CREATE|ALTER|DROP|RENAME|EXCHANGE|TRUNCATE)\b")
TABLE = re.compile(rf"`?(?:{DATABASE}`?\.`?)?(\w+)`?\b")
EXIT_HALF_DONE = 3
LOGS = re.compile(rf"`?(?:{DATABASE}`?\.`?)?logs\b")
SETTING_MAX_CHARS = 500
log = logging.getLogger("store")


class Refused(Exception):
    """A request that is not carried out; `status` is HTTP's, `code` ClickHouse's."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. {text}")
        self.status = status
        self.code = code


class Written:
    """How far the vocabulary is written: a text that is another one after each statement that changes it."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._times = 0

    @property
    def now(self) -> str:
        """Differs from what it was before the last change, also before a restart."""
        return f"{self._life}.{self._times}"

    def more(self) -> None:
        """Told after each change, before its caller hears that it was made."""
        with self._lock:
            self._times += 1


class Engine:
    """A bounded pool of chdb sessions over one path."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        from chdb import session

        for what in mend(path):
            log.warning("%s", what)
        self._inserts = Inserts(path)
        self._places: dict[str, Path] = {}
        # Limits of the whole process are options of the path; limits of one query are settings of a session.
        where = (
            f"{path}?max_server_memory_usage={memory_bytes}&mark_cache_size={memory_bytes // 8}"
            f"&index_uncompressed_cache_size={memory_bytes // 16}"
        )
        self._pool: SimpleQueue[Any] = SimpleQueue()
        for _ in range(SESSIONS):
            one: Any = session.Session(where)  # type: ignore[no-untyped-call]
            one.query(
                f"SET max_memory_usage={memory_bytes // 2}, max_execution_time={QUERY_MAX_S}, max_threads=2"
            )
            # An insert is one block, so that what its token stands for does not depend on how it is cut.
            one.query("SET max_insert_block_size=4000000, min_insert_block_size_rows=0")
            one.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
            self._pool.put(one)
        self._written = Written()
        self.merging = Merging(self._say)
        self.merging.start()

    def _say(self, sql: str) -> str:
        with self.session() as one:
            return str(one.query(sql, "TSV").bytes().decode() or "")

    def close(self, timeout_s: float) -> bool:
        """Wait until no statement runs, and let none begin; whether all ended in time."""
        deadline = time.monotonic() + timeout_s
        for _ in range(SESSIONS):
            try:
                self._pool.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return False
        return True

    def answers(self) -> bool:
        """Whether a statement can be carried out now."""
        with self.session(HEALTH_S) as one:
            return bool(one.query("SELECT 1", "TSV").bytes() == b"1\n")

    @contextmanager
    def session(self, timeout_s: float = WAIT_FOR_SESSION_S) -> Iterator[Any]:
        """A session for one statement. Raises Refused (503) when all stay busy."""
        try:
            one = self._pool.get(timeout=timeout_s)
        except Empty:
            raise Refused(503, 202, "every session of the store is busy: try again") from None
        try:
            yield one
        finally:
            self._pool.put(one)

    def run(self, sql: str, body: bytes, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """A statement's answer and its headers. Raises Refused, RuntimeError with ClickHouse's own text."""
        if why := refusal(sql):
            raise Refused(403, 497, why)
        settings = {name: value for name, value in query.items() if name in SETTINGS}
        for name, value in settings.items():
            if len(value) > SETTING_MAX_CHARS:
                raise Refused(400, 36, f"the value of {name} has at most {SETTING_MAX_CHARS} characters")
        # never chdb's own default database, which takes names of tables for names of files
        database = query.get("database") or DATABASE
        database = DATABASE if database == DATABASE_OF_FILES else database
        if not re.fullmatch(r"\w{1,64}", database):
            raise Refused(400, 36, f"{database!r} is not the name of a database")
        with self.session() as one:
            one.query(f"USE `{database}`")
            found = INSERT.match(sql)
            if found and body:
                return self._insert(one, found, body, settings)
            named = FORMAT.search(sql)
            kind = named[1] if named else query.get("default_format", "TabSeparated")
            sql = FORMAT.sub("", sql).rstrip("; \n")
            if SELECTS.match(sql):
                sql = _with_settings(sql, settings)
            params = {name[6:]: value for name, value in query.items() if name.startswith("param_")}
            before = self._written.now
            answer = one.query(sql, kind, params=params or None)
            if CHANGES_TABLES.match(sql):
                self._inserts.sync_tables()
            if not SELECTS.match(sql) and VOCABULARY.search(sql):
                self._written.more()
            said = {"vocabulary_before": before, "vocabulary_after": self._written.now}
            return answer.bytes() or b"", {
                "X-ClickHouse-Format": kind,
                "X-ClickHouse-Summary": json.dumps(said),
            }

    def _insert(
        self, one: Any, found: re.Match[str], body: bytes, settings: dict[str, str]
    ) -> tuple[bytes, dict[str, str]]:
        into = _with_settings(f"INSERT INTO {found['into']}", settings)
        table = TABLE.match(found["into"])
        with ExitStack() as around:
            if "insert_deduplication_token" in settings and table and (place := self._place(one, table[1])):
                around.enter_context(self._inserts.noted(table[1], place))
            with one.send_insert(into, found["format"]) as stream:
                stream.append(body)
                written = stream.finish().rows_written
        if LOGS.match(found["into"]):
            self.merging.inserted(int(written))
        if VOCABULARY.search(found["into"]):
            self._written.more()
        return b"", {"X-ClickHouse-Summary": f'{{"written_rows":"{written}"}}'}

    def _place(self, one: Any, table: str) -> Path | None:
        """Where the files of a table are."""
        place = self._places.get(table)
        if place is None or not place.is_dir():
            asked = (
                f"SELECT data_paths[1] FROM system.tables WHERE database = '{DATABASE}' AND name = '{table}'"
            )
            said = str(one.query(asked, "TSVRaw").bytes().decode() or "").strip()
            if not said:
                return None
            place = self._places[table] = Path(said)
        return place


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _with_settings(sql: str, settings: dict[str, str]) -> str:
    if not settings:
        return sql
    joined = ", ".join(f"{name}={_quoted(value)}" for name, value in settings.items())
    return f"{sql}\n{', ' if SETTINGS_CLAUSE.search(sql) else 'SETTINGS '}{joined}"


def plain(body: bytes, encoding: str) -> bytes:
    """A body without its compression (one or more frames).

    Raises Refused when it is damaged, cut short, or grows beyond PLAIN_MAX_BYTES.
    """
    if not encoding:
        return body
    if encoding not in ENCODINGS:
        raise Refused(415, 36, f"the encoding {encoding!r} is not known here: use {', '.join(ENCODINGS)}")
    parts: list[bytes] = []
    left = PLAIN_MAX_BYTES
    try:
        while body or not parts:
            part, body, ended = _unpack_frame(body, encoding, left)
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise Refused(413, 354, f"a body has at most {PLAIN_MAX_BYTES} bytes when unpacked")
            if not ended:
                raise Refused(400, 354, f"the body is cut short: its {encoding} has no end")
    except (zlib.error, RuntimeError, zstandard.ZstdError) as error:
        raise Refused(400, 354, f"the body is not {encoding}: {error}") from error
    return b"".join(parts)


def _unpack_frame(body: bytes, encoding: str, most: int) -> tuple[bytes, bytes, bool]:
    """A frame's content (hardly more than `most` bytes of it), what follows it, and whether it has an end."""
    if encoding == "zstd":
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts: list[bytes] = []
        for at in range(0, len(body), ZSTD_STEP_BYTES):  # it takes no limit, so it is fed in small steps
            parts.append(frame.decompress(body[at : at + ZSTD_STEP_BYTES]))
            most -= len(parts[-1])
            if frame.eof:
                return b"".join(parts), frame.unused_data + body[at + ZSTD_STEP_BYTES :], True
            if most < 0:
                break
        return b"".join(parts), b"", False
    other: Any = zlib.decompressobj(wbits=31) if encoding == "gzip" else lz4.frame.LZ4FrameDecompressor()
    content = other.decompress(body, most + 1)
    return content, other.unused_data or b"", bool(other.eof)


class Handler(BaseHTTPRequestHandler):
    """One connection; requests follow each other on it."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "Server"

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        address = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
        try:
            if address.path == "/ping" or (address.path == "/healthz" and self.server.engine.answers()):
                self._body()
                self._answer(200, b"Ok.\n", {})
                return
            self._authenticate(query)
            body = plain(self._body(), self.headers.get("Content-Encoding") or "")
            sql = query.pop("query", "")
            if not sql:
                head, _, rest = body.partition(b"\n")
                sql, body = (head.decode(), rest) if INSERT_HEAD.match(head) else (body.decode(), b"")
            answer, headers = self.server.engine.run(sql, body, query)
            self._answer(200, answer, headers)
        except Refused as refused:
            self._answer(
                refused.status, str(refused).encode(), {"X-ClickHouse-Exception-Code": str(refused.code)}
            )
        except ValueError as error:
            self._answer(400, f"bad request: {error}".encode(), {"X-ClickHouse-Exception-Code": "62"})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Dangling as error:
            log.critical("the store ends, to begin again from what is on the disk: %s", error)
            os._exit(EXIT_HALF_DONE)
        except Exception as error:
            # chdb raises RuntimeError with ClickHouse's text; whatever it is, the caller must hear it
            code = re.search(r"Code: (\d+)", str(error))
            self._answer(
                500, str(error).encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1002"}
            )

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            parts, total = [], 0
            while size := int(self.rfile.readline(64).split(b";")[0], 16):
                total += size
                if total > BODY_MAX_BYTES:
                    self.close_connection = True
                    raise Refused(413, 354, f"a body has at most {BODY_MAX_BYTES} bytes")
                parts.append(self.rfile.read(size))
                self.rfile.readline(8)
            self.rfile.readline(8)
            return b"".join(parts)
        size = int(self.headers.get("Content-Length") or 0)
        if size > BODY_MAX_BYTES:
            self.close_connection = True
            raise Refused(413, 354, f"a body has at most {BODY_MAX_BYTES} bytes")
        return self.rfile.read(size)

    def _authenticate(self, query: dict[str, str]) -> None:
        given = self.headers.get("X-ClickHouse-Key") or query.pop("password", "")
        kind, _, basic = (self.headers.get("Authorization") or "").partition(" ")
        if kind == "Basic":
            given = base64.b64decode(basic).decode().partition(":")[2]
        if not hmac.compare_digest(given.encode(), self.server.key.encode()):
            self._discard()
            raise Refused(401, 516, "the key of this store is needed")

    def _discard(self) -> None:
        """Read a small body away, so that the answer arrives; what is larger breaks the connection."""
        self.close_connection = True
        size = self.headers.get("Content-Length") or "0"
        if size.isdigit() and int(size) <= DISCARD_MAX_BYTES:
            self.rfile.read(int(size))

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if status == 200 and len(body) > 4096 and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body, headers = gzip.compress(body, 1), headers | {"Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Bounded: at most CONNECTIONS_MAX at a time; the rest wait a while to be accepted, then are closed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engine: Engine, key: str) -> None:
        self.engine = engine
        self.key = key
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(timeout=WAIT_FOR_ROOM_S):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


def serve(
    path: Path, *, host: str, port: int, memory_bytes: int, key: str, ready: Callable[[], None] = lambda: None
) -> None:
    """Own the store at `path` and answer until SIGTERM. `key` is the secret that every request must show.

    Raises Trouble when the path is in use or cannot be read, or the port is taken.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        engine = Engine(path, memory_bytes)
    except Exception as error:
        raise Trouble(
            f"the telemetry in {path} cannot be opened: {error}",
            "Make sure that no other process uses it and that its disk has room.",
        ) from error
    try:
        server = Server((host, port), engine, key)
    except OSError as error:
        raise Trouble(
            f"the store cannot listen on {host}:{port}: {error.strerror}", "Free that port."
        ) from error
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    ready()
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    if not engine.close(STOP_S):
        log.warning("statements that still run are broken off; what was not acknowledged comes again")


def main() -> int:
    """For tests and larger installations: the store by itself. Its exit status."""
    parser = argparse.ArgumentParser(description="Forestall's store by itself.")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--memory-bytes", type=int, default=2 << 30)
    given = parser.parse_args()
    try:
        serve(
            given.path,
            host=given.host,
            port=given.port,
            memory_bytes=given.memory_bytes,
            key=given.key_file.read_bytes().hex(),
        )
    except (Trouble, OSError) as error:
        sys.stderr.write(f"store: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
