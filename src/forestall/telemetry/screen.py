"""Which statements the store carries out: on its own tables only, never on files or other machines. Pure.

What people write never reaches the store as SQL (conditions.py makes it from a tree). This is the second
lock: chdb by itself would read any file through a table function, a function, or a table's name.
"""

import re

DATABASE_OF_FILES = "default"  # chdb looks for files under the names of this database's tables
STATEMENTS = frozenset(
    (
        *("select", "with", "show", "describe", "desc", "exists", "explain", "create", "insert", "alter"),
        *("drop", "truncate", "optimize", "check", "rename", "kill"),
    )
)
CREATES = frozenset({"database", "table", "view", "materialized"})
# Functions and table functions by name, and families of them by how their names begin.
OUTSIDE = frozenset(
    {"file", "filecluster", "url", "urlcluster", "input", "oss", "cosn", "hive", "nats", "kafka", "rabbitmq"}
)
OUTSIDE_BEGINS = (
    *(
        "s3",
        "gcs",
        "hdfs",
        "azure",
        "iceberg",
        "deltalake",
        "hudi",
        "paimon",
        "remote",
        "cluster",
        "executable",
    ),
    *("mysql", "postgresql", "mongo", "sqlite", "odbc", "jdbc", "redis", "ytsaurus", "arrowflight", "python"),
    *("catboost", "dataframe"),
)
ENGINES = frozenset({"atomic", "memory", "null", "view", "materializedview"})
_TOKEN = re.compile(
    r"""(?xs)
    (?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*)
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>.)
    """
)
_COMMENT = re.compile(r"/\*|\*/")
_HEREDOC = re.compile(r"\$\w*\$")
STRING = "''"


def refusal(sql: str) -> str:
    """Why a statement is not carried out, or "" when it may be."""
    try:
        tokens = _tokens(sql)
    except ValueError as error:
        return str(error)
    while tokens and tokens[-1] == ";":
        tokens.pop()
    if ";" in tokens:
        return "one statement at a time"
    begin = next((part for part in tokens if part != "("), "")
    if begin not in STATEMENTS:
        return f"statements that begin with {begin or 'nothing'!r} are not carried out here"
    if begin == "kill" and tokens[1:2] != ["query"]:
        return "only queries are ended here"
    if begin == "create" and not CREATES & set(tokens[1:4]):
        return "only databases, tables and views are created here"
    for place, word in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        after = tokens[place + 1] if place + 1 < len(tokens) else ""
        if after == "(" and (word in OUTSIDE or word.startswith(OUTSIDE_BEGINS)):
            return f"this store reads its own tables only, {word}(…) reaches outside"
        if word == DATABASE_OF_FILES and after == ".":
            return f"this store reads its own tables only, not the database {DATABASE_OF_FILES}"
        if word == STRING and before in ("from", "join", "into", "table"):
            return "this store reads its own tables only, and a text is not a table"
        if word in ("outfile", "infile") and before in ("into", "from"):
            return "this store reads and writes no files"
        if word == "engine" and begin == "create":
            named = after if after != "=" else tokens[place + 2 : place + 3][0] if tokens[place + 2 :] else ""
            if named not in ENGINES and not named.endswith("mergetree"):
                return f"tables of the engine {named!r} are not made here"
    return ""


def _tokens(sql: str) -> list[str]:
    """Words in small letters (also quoted ones, without their quotes), signs, and STRING for any text.
    Raises ValueError for what cannot be read safely."""
    tokens: list[str] = []
    at = 0
    while at < len(sql):
        if sql.startswith("/*", at):
            at = _after_comment(sql, at)
            continue
        if _HEREDOC.match(sql, at):
            raise ValueError("texts between dollar signs are not read here: use '…'")
        found = _TOKEN.match(sql, at)
        if found is None or (found["sign"] and found["sign"] in "'\"`"):
            raise ValueError("a quote is not closed")
        at = found.end()
        if found["space"]:
            continue
        if found["string"]:
            tokens.append(STRING)
        elif found["quoted"]:
            name = found["quoted"][1:-1].lower()
            if "/" in name or "\\" in name:
                raise ValueError("names with / or \\ in them are not read here")
            tokens.append(name)
        else:
            tokens.append(found[0].lower())
    return tokens


def _after_comment(sql: str, at: int) -> int:
    """The place after a comment; comments nest."""
    depth = 0
    for found in _COMMENT.finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return found.end()
    raise ValueError("a comment is not closed")
