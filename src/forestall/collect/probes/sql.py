"""SQL: does the database let us in, and answer a question as expected? PostgreSQL, MariaDB, MySQL."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
import psycopg.conninfo
import pymysql

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, cut, say_place
from forestall.collect.certificates import context_that_trusts, context_that_trusts_anything
from forestall.collect.reach import Reach
from forestall.collect.streams import say_failure
from forestall.kernel.plugins import Setting, Spec

QUERY_MAX_CHARS = 4000
SHOWN_CHARS = 200
MYSQL_THREADS = 16  # PyMySQL knows no asyncio; its own timeouts end each thread's work

SPEC = Spec(
    name="sql",
    title="Database",
    about="Signs in to PostgreSQL, MariaDB or MySQL, asks one question, and looks at the first value.",
    source="PostgreSQL and MariaDB client protocols, by psycopg and PyMySQL",
    settings=(
        Setting("password", "Password", "secret"),
        Setting("query", "Question", default="SELECT 1", help="One statement that only reads"),
        Setting("expect", "Expected value"),
        Setting("least", "Value at least", "number"),
        Setting("most", "Value at most", "number"),
        Setting("tls", "TLS", "choice", default="prefer", choices=("off", "prefer", "require", "verify")),
    ),
    limits="One statement in a read-only transaction; the first value of the first row.",
    produces=("probe.up", "probe.took_ms", "sql.took_ms", "sql.value"),
)


_threads = ThreadPoolExecutor(MYSQL_THREADS, thread_name_prefix="mysql")


class Database(NamedTuple):
    """Where to sign in: `host` is the name, `address` what it resolved to."""

    host: str
    address: str
    port: int
    user: str
    name: str

    @property
    def place(self) -> str:
        """`db.example.com:5432` or the address, for people."""
        return say_place(self.host, self.port)


def read_target(target: str) -> tuple[str, Database]:
    """Kind and place of `postgresql://user@host:port/database`, `mysql://…` or `mariadb://…`; no address yet.

    Raises NotAsked.
    """
    form = "write it as postgresql://user@host:5432/database or mysql://user@host:3306/database"
    try:
        parts = urlsplit(target.strip())
        port = parts.port
    except ValueError as error:
        raise NotAsked(f"{target!r} is not the address of a database: {form}") from error
    kind = {"postgres": "postgresql", "mariadb": "mysql"}.get(parts.scheme, parts.scheme)
    if kind not in ASKING or not parts.hostname or not parts.username or parts.query:
        raise NotAsked(f"this is not the address of a database: {form}")
    if parts.password is not None:
        raise NotAsked("the password does not belong into the address: use the setting password")
    name = unquote(parts.path.strip("/"))
    if port is None:
        port = 5432 if kind == "postgresql" else 3306
    return kind, Database(parts.hostname, "", port, unquote(parts.username), name)


async def _ask_postgresql(question: Question, database: Database) -> Any:
    settings = question.settings
    mode = {"off": "disable", "verify": "verify-full"}.get(settings["tls"], settings["tls"])
    trust = {"sslrootcert": "system"} if mode == "verify-full" else {}
    conninfo = psycopg.conninfo.make_conninfo("", **trust)
    connection = await psycopg.AsyncConnection.connect(
        conninfo,
        host=database.host,
        hostaddr=database.address,
        port=database.port,
        user=database.user,
        password=settings["password"] or "",
        dbname=database.name or database.user,
        sslmode=mode,
        gssencmode="disable",
        application_name="forestall",
    )
    async with connection:
        await connection.set_read_only(True)
        question.doing(f"waiting for {database.place} to answer the question")
        cursor = psycopg.AsyncRawCursor(connection)
        async for row in cursor.stream(settings["query"], []):  # so that a large table is not fetched whole
            return row[0] if row else None
    return None


async def _ask_mysql(question: Question, database: Database) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _ask_mysql_now, question, database)


def _ask_mysql_now(question: Question, database: Database) -> Any:
    settings = question.settings
    context: ssl.SSLContext | None = None
    if settings["tls"] in {"require", "verify"}:
        context = context_that_trusts() if settings["tls"] == "verify" else context_that_trusts_anything()
    connection = pymysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=settings["password"] or "",
        database=database.name or None,
        ssl=context,
        ssl_disabled=settings["tls"] == "off",
        connect_timeout=question.timeout_s,
        read_timeout=question.timeout_s,
        write_timeout=question.timeout_s,
        defer_connect=True,
        charset="utf8mb4",
    )
    line = socket.create_connection((database.address, database.port), question.timeout_s)
    try:
        connection.connect(line)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("SET SESSION sql_select_limit = 1")
            question.doing(f"waiting for {database.place} to answer the question")
            cursor.execute(settings["query"])
            row = cursor.fetchone()
        return row[0] if row else None
    finally:
        line.close()


ASKING: Mapping[str, Callable[[Question, Database], Awaitable[Any]]] = {
    "postgresql": _ask_postgresql,
    "mysql": _ask_mysql,
}


async def probe(question: Question, reach: Reach) -> Answer:
    """Sign in and ask."""
    kind, database = read_target(question.target)
    if len(question.settings["query"]) > QUERY_MAX_CHARS:
        raise NotAsked(f"the query has more than {QUERY_MAX_CHARS} characters")
    database = database._replace(address=(await reach.resolve(database.host))[0])
    question.doing(f"signing in to {database.place} as {database.user}")
    begun = time.perf_counter()
    try:
        value = await ASKING[kind](question, database)
    except (psycopg.Error, pymysql.Error) as error:
        raise NoAnswer(_say_failure(error, database), raw=cut(str(error))) from error
    except OSError as error:
        raise NoAnswer(say_failure(error, database.place)) from error
    took_ms = (time.perf_counter() - begun) * 1000
    shown = cut(str(value), SHOWN_CHARS)
    numbers = [Number("sql.took_ms", took_ms)]
    number = _number(value)
    if number is not None:
        numbers.append(Number("sql.value", number))
    wrong = _mistake(question.settings, value, number)
    if wrong:
        return Answer(False, f"{database.place} answers {shown!r}, {wrong}", shown, numbers, took_ms)
    return Answer(
        True, f"{database.place} lets {database.user} in and answers {shown!r}", shown, numbers, took_ms
    )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _mistake(settings: Mapping[str, Any], value: object, number: float | None) -> str:
    """What is not as expected of the value, or ""."""
    if settings["expect"] and str(value) != settings["expect"]:
        return f"expected {settings['expect'][:SHOWN_CHARS]!r}"
    least, most = settings["least"], settings["most"]
    if (least is not None or most is not None) and number is None:
        return "which is not a number"
    if least is not None and number is not None and number < least:
        return f"expected at least {least:g}"
    if most is not None and number is not None and number > most:
        return f"expected at most {most:g}"
    return ""


def _say_failure(error: psycopg.Error | pymysql.Error, database: Database) -> str:
    text = str(error.args[-1] if isinstance(error, pymysql.Error) and error.args else error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if "onnection refused" in text:
        return f"connection refused by {database.place}"
    for begin in ("FATAL:", "ERROR:"):
        if begin in first:
            first = first.partition(begin)[2].strip()
    return cut(f"{database.place}: {first}", 500)
