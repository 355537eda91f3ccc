"""The way to the store: ClickHouse's own client, against our store process or a cluster alike."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from forestall.telemetry.schema import CREATE, DATABASE

CONNECT_S = 3
ANSWER_S = 30
WAIT_STEP_S = 0.1


class StoreUnavailable(Exception):
    """The store does not answer: the same request may be made again later."""


class StoreRefused(Exception):
    """The store answered that it will not do this; `code` is ClickHouse's (0 when it gave none)."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


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

    def select(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout_s: float = ANSWER_S
    ) -> list[Sequence[Any]]:
        """The rows of a query. Raises StoreUnavailable, StoreRefused."""
        settings = {"max_execution_time": max(1, round(timeout_s)), "timeout_overflow_mode": "throw"}
        with _trouble():
            found = self._client().query(sql, parameters=dict(parameters or {}), settings=settings)
            return list(found.result_rows)

    def command(self, sql: str) -> Any:
        """A statement without rows. Raises StoreUnavailable, StoreRefused."""
        with _trouble():
            return self._client().command(sql)

    def insert(self, table: str, columns: Sequence[str], stream: bytes, *, token: str) -> None:
        """Insert an Arrow stream; the same token again changes nothing. Raises as `select`."""
        with _trouble():
            self._client().raw_insert(
                f"{DATABASE}.{table}",
                column_names=list(columns),
                insert_block=stream,
                settings={"insert_deduplication_token": token, "insert_deduplicate": 1},
                fmt="ArrowStream",
            )

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
        """Make the tables that are not there."""
        for statement in CREATE:
            self.command(statement)

    def _client(self) -> Client:
        found: Client | None = getattr(self._local, "client", None)
        if found is None:
            found = self._local.client = clickhouse_connect.get_client(
                **self._where,
                connect_timeout=CONNECT_S,
                send_receive_timeout=ANSWER_S,
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
            or "status 503" in text
        ):
            raise StoreUnavailable(text) from error
        code = getattr(error, "code", None)
        raise StoreRefused(text, code if isinstance(code, int) else 0) from error
