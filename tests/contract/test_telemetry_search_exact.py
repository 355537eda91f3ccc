"""A search finds exactly the lines that a plain reading of the query finds, however the store keeps them."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from contract.telemetry_store import log_columns, start_store, write_logs
from forestall.kernel.columns import LogColumns
from forestall.telemetry import search
from forestall.telemetry.client import Store
from forestall.telemetry.language import All, Any, Field, Node, Not, Phrase, Regex, Word, parse
from forestall.telemetry.lexicon import Lexicons
from forestall.telemetry.scope import EVERY

AT = 1_764_000_000_000
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
SHAPES = (
    "client:{a} said {n}",
    "Failed password for {w} from {a} port {n} ssh2",
    "Started Session {n} of User {w}.",
    "[UFW BLOCK] IN=eth{d} SRC={a} DST={a}:{n} MAC={m}",
    '{a} - - "GET /api/v{d}/items/{n} HTTP/1.1" {n} {d}.{n}',
    "pam_unix(sshd:session): session closed for user {w}",
    "job-{d}.sh took {n}ms at 06:2{d}:0{d} éclair{d} naïve",
    "{w}",
    "kernel: {n}.{n}.{n} {a}.{d} 0{n}.1.2.3 v1.{d}.{n}",
)
QUERIES = """
failed|session|SESSION|root|user|"ession"|"assword fo"|sshd|session:|"sshd:session"
"client:10"|client:10.0.0.7|client:10*|client
10.0.0.7|"10.0.0"|"0.0.7"|7
"port 4"|"from 10.0.0.7 port"|eth1|"eth"|"IN=eth1 SRC="|fe:12:0a|"fe:12"|06:21:01|"06:21"|items|"items/4"
4*|se*
10.0*|"10.0.0.7:4"|fail* -root|-failed|(root OR ana) failed|re:/port [0-9]+ ssh2$/|re:/^[A-Z]/|message:session
message!=session|host:web1|host:web*|source!=app|web1|app|éclair1|"naïve"|"é"|user.|"."|"user root"|job-1.sh
"job-1"|sh|v1.4.4|"v1"|1.4|severity>=info|-"ssion" -4|"GET /api/v1"|http/1.1|"1.1"|unit:ssh.service|"\\""
"=e"|/
"""


def make_lines(rng: random.Random, count: int) -> list[str]:
    def fill(shape: str) -> str:
        while "{" in shape:
            shape = shape.replace("{a}", f"10.0.0.{rng.choice((7, 7, 70, 255))}", 1)
            shape = shape.replace("{n}", str(rng.choice((4, 44, 443, 52114))), 1)
            shape = shape.replace("{w}", rng.choice(("root", "ana", "Session", "x1", "10.0.0.7x")), 1)
            shape = shape.replace("{d}", str(rng.randrange(3)), 1)
            shape = shape.replace("{m}", rng.choice(("fe:12:0a", "00:12:fe")), 1)
        return shape

    return [fill(rng.choice(SHAPES)) for _ in range(count)] + ["only once é 10.0.0.7!", "", "\x01 root 4"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[str], LogColumns]]:
    directory: Path = tmp_path_factory.mktemp("store")
    with start_store(directory) as running:
        lines = make_lines(random.Random(5), 800)
        columns = log_columns(lines, at_ms=AT, step_ms=1000, attrs='{"unit":"ssh.service"}')
        hosts = pa.array([f"web{n % 3}" for n in range(len(lines))])
        columns = LogColumns(
            **{name: getattr(columns, name) for name in LogColumns.__slots__ if name != "host"}, host=hosts
        )
        write_logs(running.store, columns, token="all")
        yield running.store, lines, columns


def has_word(text: str, word: str, *, prefix: bool) -> bool:
    alnum = r"[a-z0-9\u0080-\U0010ffff]"
    if ADDRESS.fullmatch(word) and not prefix:  # not a part of something longer with dots
        return (
            re.search(rf"(?<!{alnum})(?<!{alnum}\.){re.escape(word)}(?!{alnum}|\.{alnum})", text) is not None
        )
    begin = f"(?<!{alnum})" if re.match(alnum, word) else ""
    end = f"(?!{alnum})" if not prefix and re.match(alnum, word[-1]) else ""
    return re.search(begin + re.escape(word) + end, text) is not None


def holds(node: Node, message: str, host: str) -> bool:
    """What the query says, read plainly: in the message, in the program's or in the host's name."""
    seen = [text.lower() for text in (message, "app", host)]
    match node:
        case All(parts):
            return all(holds(part, message, host) for part in parts)
        case Any(parts):
            return any(holds(part, message, host) for part in parts)
        case Not(part):
            return not holds(part, message, host)
        case Word(text, prefix):
            return any(has_word(one, text.lower(), prefix=prefix) for one in seen)
        case Phrase(text):
            return any(text.lower() in one for one in seen)
        case Regex(pattern):
            return re.search(pattern, message) is not None
        case Field("severity", _, _):
            return True
        case Field("message", operator, value):
            return (value.lower() in message.lower()) == (operator == "=")
        case Field("host", _, value):
            return host.startswith(value[:-1]) if value.endswith("*") else host == value
        case Field("source", operator, value):
            return (value == "app") == (operator == "=")
        case Field(_, _, value):
            return value == "ssh.service"
    raise AssertionError(node)


@pytest.mark.parametrize("by_heart", [True, False])
@pytest.mark.parametrize("query", [one for row in QUERIES.strip().splitlines() for one in row.split("|")])
def test_a_search_finds_exactly_what_the_query_says(
    kept: tuple[Store, list[str], LogColumns], query: str, by_heart: bool
) -> None:
    store, lines, _ = kept
    if by_heart != (store.lexicons.of(store) is not None):
        store.lexicons = Lexicons() if by_heart else Lexicons(entries_max=0)
    given = {"clients": EVERY, "from_ms": AT, "to_ms": AT + 86_400_000}
    page = search.search_logs(store, query, **given, limit=1000)  # type: ignore[arg-type]
    wanted = [line for n, line in enumerate(lines) if holds(parse(query), line, f"web{n % 3}")]
    assert [line.message for line in page.lines] == wanted[::-1]
    counted = search.histogram(store, query, **given)  # type: ignore[arg-type]
    assert sum(count for _, _, count in counted) == len(wanted)


def test_every_line_comes_back_byte_for_byte(kept: tuple[Store, list[str], LogColumns]) -> None:
    store, lines, _ = kept
    assert sorted(str(row[0]) for row in store.select("SELECT message FROM forestall.lines")) == sorted(lines)
    shaped = store.select("SELECT countIf(shape != 0), uniqExact(shape) FROM forestall.logs")[0]
    assert shaped[0] > 600
    assert shaped[1] > 8
