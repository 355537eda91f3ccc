"""Nobody reads rows around the tenancy gate: queries take a scope, the web reads through queries."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "forestall"
ROOMS = (
    "estate",
    "configs",
    "networks",
    "findings",
    "alerts",
    "tickets",
    "backups",
    "keeping",
    "intake",
    "problems",
    "mail",
    "agreements",
    "invoices",
    "economics",
)
# "room.function" → why it needs no scope. Nothing needs one now; think twice before something does.
WITHOUT_SCOPE: dict[str, str] = {}
GATES = frozenset({"Scope"})


def functions(room: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.parse((PACKAGE / room / "queries.py").read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("room", ROOMS)
def test_every_query_takes_a_scope_first(room: str) -> None:
    found = list(functions(room))
    assert found, f"{room}/queries.py has no function: has it moved?"
    for function in found:
        if f"{room}.{function.name}" in WITHOUT_SCOPE:
            continue
        arguments = function.args.posonlyargs + function.args.args
        assert arguments and arguments[0].arg == "scope", (
            f"{room}.queries.{function.name} (line {function.lineno}) must take `scope: Scope` first"
        )
        annotation = arguments[0].annotation
        assert annotation is not None and ast.unparse(annotation).strip("'\"") in GATES, (
            f"{room}.queries.{function.name}: annotate scope with Scope, which cannot be None"
        )
        defaults = len(function.args.defaults)
        assert defaults < len(arguments), f"{room}.queries.{function.name}: scope must have no default"


def test_every_room_with_queries_is_held_to_it() -> None:
    """The journal is read by sequence; what it gives of clients is narrowed by its callers' `clients`."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/queries.py")}
    assert rooms == {*ROOMS, "journal"}, "add the new room to ROOMS"


def test_what_needs_no_scope_is_still_there() -> None:
    there = {f"{room}.{function.name}" for room in ROOMS for function in functions(room)}
    assert set(WITHOUT_SCOPE) <= there, "an exception outlived its function: remove it"


def test_the_web_never_reads_tables_itself() -> None:
    for path in sorted((PACKAGE / "web").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            reaches = isinstance(node, ast.Attribute) and node.attr in ("objects", "_default_manager")
            assert not reaches, f"{path.name} line {node.lineno}: read through a room's queries.py"
