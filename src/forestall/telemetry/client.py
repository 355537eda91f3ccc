"""The way to the store: ClickHouse's own client, against our store process or a cluster alike."""

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from forestall.kernel.errors import Trouble
from forestall.telemetry.asking import Asking, asking
from forestall.telemetry.lexicon import Lexicons, Said
from forestall.telemetry.schema import CREATE, DATABASE, SHAPE, VERSION
from forestall.telemetry.scope import Clients, sql_of

CONNECT_S = 3
ANSWER_S = 30
QUERY_S = 20
TIMEOUT_MIN_S = 0.01
INSERT_S = 120  # an insert may wait for seconds while the store merges
COMMAND_S = 120
# ClickHouse's codes for an insert that can never succeed, because of what is in it. Whatever else goes wrong
# with an insert (memory, disk, a missing table, a wrong key) may be put right, so it is made again.
NEVER = frozenset(
    {6, 7, 16, 20, 26, 27, 33, 36, 38, 41, 44, 50, 53, 62, 69, 70, 72, 117, 131, 321, 349, 354, 497}
)
WAIT_STEP_S = 0.1
SHAPES_HELD = 50_000
CANCELLED = 394
KILL_S = 10
BUSY = frozenset({202, 209, 210})  # too many queries at once, trouble of the network


# The driver logs every failed connection; whoever asked hears of it as StoreUnavailable.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


class StoreUnavailable(Exception):
    """The store does not answer: the same request may be made again later."""


class StoreRefused(Exception):
    """The store answered that it will not do this; `code` is ClickHouse's (0 when it gave none)."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ShapeTexts:
    """Texts of shapes that were read before, by client and shape; at most SHAPES_HELD."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], str] = {}

    def of(
        self, store: "Store", clients: Clients, wanted: Collection[tuple[int, int]]
    ) -> dict[tuple[int, int], str]:
        """The texts of these; what is not in the vocabulary is missing. Raises as Store.select."""
        missing = sorted({shape for client, shape in wanted if (client, shape) not in self._held})
        if missing:
            rows = store.select(
                f"SELECT client, number, any(text) FROM {DATABASE}.vocabulary WHERE {sql_of(clients)}"
                f" AND kind = {SHAPE} AND number IN ({', '.join(map(str, missing))}) GROUP BY client, number"
            )
            if len(self._held) + len(rows) > SHAPES_HELD:
                self._held = {}
            self._held |= {(int(row[0]), int(row[1])): str(row[2]) for row in rows}
        held = self._held
        return {key: held[key] for key in wanted if key in held}


class Store:
    """A client per thread; connections are made when first needed."""

    def __init__(
        self, host: str, port: int, *, password: str, user: str = "default", secure: bool = False
    ) -> None:
        self._where: dict[str, Any] = {
            "host": host,
            "port": port,
            "username": user,
            "password": password,
            "secure": secure,
        }
        self._local = threading.local()
        self.shapes = ShapeTexts()
        self.lexicons = Lexicons()
        self.settings: dict[str, str | int] = {}  # further ones of every select (benchmarks)

    def select(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = QUERY_S,
        settings: Mapping[str, str | int] | None = None,
    ) -> list[Sequence[Any]]:
        """The rows of a query. Raises StoreUnavailable, StoreRefused (code 159: it took longer; CANCELLED:
        nobody waits for it any more, see telemetry.asking)."""
        asked_by = asking.get()
        if asked_by is None:
            return self._select(sql, parameters, timeout_s, settings or {})
        if asked_by.cancelled:
            raise StoreRefused("nobody waits for this query any more", CANCELLED)
        with asked_by.noted():
            return self._select(
                sql, parameters, timeout_s, {"log_comment": asked_by.name, **(settings or {})}
            )

    def cancel(self, asked_by: Asking) -> None:
        """End what a request asks; nothing of it begins any more. Raises StoreUnavailable, StoreRefused."""
        if asked_by.cancel():
            with _trouble():
                self._client(KILL_S).command(
                    f"KILL QUERY WHERE Settings['log_comment'] = '{asked_by.name}' ASYNC"
                )

    def _select(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        timeout_s: float,
        settings: Mapping[str, str | int],
    ) -> list[Sequence[Any]]:
        used = {
            "max_execution_time": max(TIMEOUT_MIN_S, round(timeout_s, 3)),
            "timeout_overflow_mode": "throw",
            **settings,
            **self.settings,
        }
        with _trouble():
            client = self._client(ANSWER_S if timeout_s < ANSWER_S else COMMAND_S)
            found = client.query(sql, parameters=dict(parameters or {}), settings=used)
            said = found.summary or {}
            self._local.said = Said(
                str(said.get("vocabulary_before", "")), str(said.get("vocabulary_after", ""))
            )
            return list(found.result_rows)

    @property
    def said(self) -> Said:
        """What the store said of the vocabulary with this thread's last answer."""
        found: Said = getattr(self._local, "said", Said())
        return found

    def command(self, sql: str) -> Any:
        """A statement without rows. Raises StoreUnavailable, StoreRefused."""
        with _trouble():
            return self._client(COMMAND_S).command(sql)

    def insert(self, table: str, columns: Sequence[str], block: bytes, *, token: str) -> None:
        """Insert a block in Native format (native.block); the same token again changes nothing.

        Raises StoreRefused for what the store will never take, StoreUnavailable for everything else.
        """
        settings = {"insert_deduplication_token": token, "insert_deduplicate": 1, "async_insert": 0}
        try:
            with _trouble():
                self._client(INSERT_S).raw_insert(
                    f"{DATABASE}.{table}",
                    column_names=list(columns),
                    insert_block=block,
                    # the index of words is built when parts are merged: a third less work for an insert
                    settings=settings | {"materialize_skip_indexes_on_insert": 0},
                    fmt="Native",
                )
        except StoreRefused as refused:
            if refused.code in NEVER:
                raise
            raise StoreUnavailable(str(refused)) from refused

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the store answers. Raises StoreUnavailable when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.select("SELECT 1")
                return
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_STEP_S)

    def ensure_schema(self) -> None:
        """Make the tables that are not there.

        Raises Trouble when they are of a newer version, StoreUnavailable when they cannot be made now.
        """
        try:
            self._ensure_schema()
        except StoreRefused as refused:
            raise StoreUnavailable(f"the tables cannot be made: {refused}") from refused

    def _ensure_schema(self) -> None:
        for statement in CREATE:
            self.command(statement)
        there = int(self.select(f"SELECT max(version) FROM {DATABASE}.about")[0][0])
        if there > VERSION:
            raise Trouble(
                f"the telemetry has version {there}, this Forestall knows versions up to {VERSION}",
                "Install the newer Forestall that wrote it.",
            )
        if 0 < there < VERSION:
            raise Trouble(
                f"the telemetry has version {there}, which was never released",
                "Move the directory `telemetry` away; it is made anew.",
            )
        if there < VERSION:
            self.command(f"INSERT INTO {DATABASE}.about (version) VALUES ({VERSION})")

    def _client(self, answer_s: int = ANSWER_S) -> Client:
        """This thread's client whose requests may take `answer_s`."""
        clients: dict[int, Client] = self._local.__dict__.setdefault("clients", {})
        found = clients.get(answer_s)
        if found is None:
            found = clients[answer_s] = clickhouse_connect.get_client(
                **self._where,
                connect_timeout=CONNECT_S,
                send_receive_timeout=answer_s,
                compress=False,
                autogenerate_session_id=False,
                query_limit=0,
            )
        return found


class _trouble:
    """Turns the driver's exceptions into ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, ClickHouseError | OSError):
            return
        text = str(error)
        if (
            isinstance(error, OSError | OperationalError)
            or "HTTPConnectionPool" in text
            or getattr(error, "code", None) in BUSY
        ):
            raise StoreUnavailable(text) from error
        code = getattr(error, "code", None)
        raise StoreRefused(text, code if isinstance(code, int) else 0) from error
