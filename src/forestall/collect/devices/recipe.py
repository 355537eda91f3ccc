"""Recipes: what to know of a kind of device to capture its configuration. One YAML file each.

A recipe reads: its commands begin with a word of READING and hold no word of FORBIDDEN, so that a capture
changes nothing on a device whatever a recipe says. Patterns are looked for in single lines, cut to
LINE_MAX_CHARS, and none may repeat a repetition: no line can hold up a capture. docs/howto/device-recipe.md.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from forestall.kernel.errors import Trouble

HOME = "forestall.collect.devices"
FILE_MAX_BYTES = 64 << 10
PATTERN_MAX_CHARS = 300
LINE_MAX_CHARS = 16_384
COMMANDS_MAX = 20
RECIPES_MAX = 500
ADDED_TO = frozenset(("secrets", "blocks", "plain", "volatile", "refused", "signs", "knows"))
_READING_WORDS = "show display get cat export /export /system uname ip ls df dpkg-query rpm"
READING = frozenset(_READING_WORDS.split())
# What prepares a session and lasts no longer than it: exactly these beginnings.
PREPARING = (
    "terminal length", "terminal width", "terminal pager", "terminal datadump", "screen-length", "no page",
    "set cli screen-length", "set cli screen-width", "set cli pager", "set cli config-output-format",
    "set cli scripting-mode", "set terminal", "set clienv rows", "set clienv pager", "skip-page-display",
    "disable clipaging", "environment no more", "no paging", "terminal no length",
)  # fmt: skip
_FORBIDDEN_WORDS = (
    "configure write copy reload delete erase clear reset format install upgrade downgrade "
    "rollback commit set unset edit execute exec shutdown reboot restart halt poweroff boot tftp ftp scp "
    "debug no remove rm mv cp dd tee chmod chown kill sh bash python perl eval sudo su import add move "
    "rename disable enable clish request start stop wipe factory-reset flush replace del append change"
)
FORBIDDEN = frozenset(_FORBIDDEN_WORDS.split())
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where there is one: ten times as fast
_UNSAFE = re.compile(r"[;&`<>\\\n\r\0]|\$\(|\|\|")

Pattern = Annotated[str, Meta(min_length=1, max_length=PATTERN_MAX_CHARS)]
Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,40}$")]


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line with a secret in the group `secret`; what stands around it stays. `varies`: the device writes
    the same secret otherwise each time, so its mark says nothing. `within` … `until`: only between them."""

    line: Pattern
    varies: bool = False
    within: Pattern | None = None
    until: Pattern = r"^\S"


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines between two that match are a secret as a whole; one that never ends goes to the end."""

    begins: Pattern
    ends: Pattern
    varies: bool = False


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reading command and the snapshot that its output becomes.

    `begins`: lines before the first match are no part of it. `complete`: the last line must match.
    `keep`: only matching lines are kept (what `show version` says between the uptimes). `optional`: a device
    that does not know it is no problem. `sorted`: the order of the lines means nothing.
    """

    run: Annotated[str, Meta(min_length=1, max_length=200)]
    kind: Word
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    begins: Pattern | None = None
    complete: Pattern | None = None
    keep: list[Pattern] = []
    volatile: list[Pattern] = []
    refused: list[Pattern] = []
    least_lines: Annotated[int, Meta(ge=1, le=1000)] = 1
    optional: bool = False
    sorted: bool = False


class Enable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a second password raises the rights: at a prompt that matches `at`, `run` is sent, and the password
    when `asks` is seen."""

    at: Pattern
    run: Literal["enable", "enable admin", "super", "en"]
    asks: Pattern = r"[Pp]assword"


class Says(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that says by itself whether the running configuration is saved."""

    run: Annotated[str, Meta(min_length=1, max_length=200)]
    saved: Pattern
    unsaved: Pattern


class Unsaved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two kinds that are equal when everything is saved, without the lines of `except`; or a command that
    says it."""

    running: Word = ""
    startup: Word = ""
    without: list[Pattern] = []
    says: Says | None = None


class Sign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log line that says that the configuration was changed. `holds` is a piece of it that is looked for
    first; `line` may have the groups `user` and `address`."""

    holds: Annotated[str, Meta(min_length=4, max_length=80)]
    line: Pattern


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A kind of device. `same_prompt` false: its prompt is another after each command (it counts them).
    `more` is what its pager shows, `press` what it wants a key for before the first prompt."""

    title: Annotated[str, Meta(min_length=2, max_length=80)]
    source: Annotated[str, Meta(min_length=2, max_length=500)]
    about: Annotated[str, Meta(max_length=500)] = ""
    channel: Literal["shell", "exec"] = "shell"
    prompt: Pattern = r"[\w.:/@()\[\]~ -]{1,80}[#>$%]\s?"
    prepare: Annotated[list[str], Meta(max_length=10)] = []
    more: Pattern | None = None
    more_key: Literal[" ", "\r", "\n", "q"] = " "
    press: Pattern | None = None
    enable: Enable | None = None
    same_prompt: bool = True
    newline: Literal["\n", "\r", "\r\n"] = "\n"
    commands: Annotated[list[Command], Meta(min_length=1, max_length=COMMANDS_MAX)]
    secrets: Annotated[list[Secret], Meta(max_length=200)] = []
    blocks: Annotated[list[Block], Meta(max_length=50)] = []
    plain: list[Pattern] = []
    volatile: list[Pattern] = []
    refused: list[Pattern] = []
    unsaved: Unsaved | None = None
    signs: list[Sign] = []
    knows: list[Pattern] = []
    old_algorithms: bool = False
    name: str = ""

    @cached_property
    def compiled(self) -> Mapping[str, re.Pattern[str]]:
        """Every pattern, by its text."""
        return {text: re.compile(text) for _, text in _patterns(self)}

    def matches(self, pattern: str | None, line: str) -> bool:
        """Whether a pattern of this recipe is anywhere in a line."""
        return pattern is not None and self.compiled[pattern].search(line[:LINE_MAX_CHARS]) is not None

    def matches_any(self, patterns: list[str], line: str) -> bool:
        """Whether one of the patterns is in a line."""
        return any(self.matches(pattern, line) for pattern in patterns)


class RecipeMistake(Trouble):
    """What is wrong in a recipe: file, line, and what to write instead."""

    def __init__(self, file: str, line: int, what: str, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {what}", remedy)
        self.line = line


@cache
def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the product."""
    files = (resources.files(HOME) / "recipes").iterdir()
    found = sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))
    return tuple(found[:RECIPES_MAX])


@cache
def find_recipe(name: str) -> Recipe:
    """A recipe by its name. Raises Trouble that names those there are, RecipeMistake."""
    if name not in recipe_names():
        raise Trouble(f"there is no recipe {name!r}", f"Recipes are {', '.join(recipe_names())}.")
    file = resources.files(HOME) / "recipes" / f"{name}.yaml"
    return read_recipe(name, file.read_text(encoding="utf-8"))


def recipes() -> Mapping[str, Recipe]:
    """All recipes that come with the product, by name. Raises RecipeMistake."""
    return {name: find_recipe(name) for name in recipe_names()}


def read_recipe(name: str, text: str) -> Recipe:
    """A recipe from its YAML. Raises RecipeMistake with the line of the first mistake."""
    file = f"{name}.yaml"
    if len(text.encode()) > FILE_MAX_BYTES:
        raise RecipeMistake(file, 1, f"it has more than {FILE_MAX_BYTES} bytes", "A recipe is a short file.")
    try:
        node = yaml.compose(text, LOADER)
        plain = yaml.load(text, LOADER)  # noqa: S506 - the safe one in C, or the safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        what = f"this is not YAML: {error.problem}"
        raise RecipeMistake(
            file, mark.line + 1 if mark else 1, what, "Put patterns in 'single quotes'."
        ) from None
    except yaml.YAMLError as error:
        raise RecipeMistake(file, 1, f"this is not YAML: {error}", "Remove control characters.") from None
    lines = dict(_lines("$", node)) if node is not None else {}
    if isinstance(plain, dict) and "like" in plain:
        plain = _like(file, lines, plain)
    try:
        recipe = msgspec.structs.replace(msgspec.convert(plain, Recipe), name=name)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        raise RecipeMistake(
            file,
            _line_of(lines, path),
            f"{path.removeprefix('$.')}: {what}",
            "See docs/howto/device-recipe.md.",
        ) from None
    for path, what, remedy in _mistakes(recipe):
        raise RecipeMistake(file, _line_of(lines, path), what, remedy)
    return recipe


def _like(file: str, lines: Mapping[str, int], plain: dict[str, Any]) -> dict[str, Any]:
    """A recipe that says only what is other than in the one that it is like: lists of patterns are added to,
    everything else is replaced."""
    other = plain.pop("like")
    if other not in recipe_names() or f"{other}.yaml" == file:
        line = lines.get("$.like", 1)
        raise RecipeMistake(file, line, f"there is no recipe {other!r}", "Name one of the others.")
    base = msgspec.to_builtins(find_recipe(other))
    base.pop("name", None)
    for name, value in base.items():
        if name in ADDED_TO and isinstance(plain.get(name, []), list):
            plain[name] = [*plain.get(name, []), *value]  # its own first: their lines are known
        else:
            plain.setdefault(name, value)
    return plain


def _lines(path: str, node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Where each value stands: `$.commands[0].run` → line."""
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{path}.{key.value}", key.start_mark.line + 1
            yield from _lines(f"{path}.{key.value}", value)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from _lines(f"{path}[{place}]", value)


def _line_of(lines: Mapping[str, int], path: str) -> int:
    """The line of a value, or of the nearest that holds it."""
    while path not in lines and path != "$":
        path = re.sub(r"(\.\w+|\[\w*\])$", "", path) or "$"
    return lines.get(path, 1)


def _patterns(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every pattern with its path."""

    def walk(path: str, value: Any, hint: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, msgspec.Struct):
            for field in msgspec.structs.fields(type(value)):
                inner = getattr(value, field.name)
                yield from walk(f"{path}.{field.encode_name}", inner, str(field.type))
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                yield from walk(f"{path}[{place}]", inner, hint)
        elif isinstance(value, str) and f"max_length={PATTERN_MAX_CHARS}" in hint:
            yield path, value

    yield from walk("$", recipe, "")


def _mistakes(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """What types cannot say: (path, what, what to write instead)."""
    for path, text in _patterns(recipe):
        why = refuse_pattern(text)
        if why:
            yield path, f"{text!r} {why}", "Write it with single repetitions, for a single line."
    for place, secret in enumerate(recipe.secrets):
        if "(?P<secret>" not in secret.line:
            yield f"$.secrets[{place}].line", "no group says what is secret", "Write (?P<secret>…) around it."
    for place, command in enumerate(recipe.commands):
        why = refuse_command(command.run)
        if why:
            yield f"$.commands[{place}].run", f"{command.run!r} {why}", "A recipe only reads."
    for place, text in enumerate(recipe.prepare):
        if not text.startswith(PREPARING) or _UNSAFE.search(text):
            yield (
                f"$.prepare[{place}]",
                f"{text!r} is no known way to leave paging off",
                (f"Known ones begin with {', '.join(PREPARING)}."),
            )
    kinds = [command.kind for command in recipe.commands]
    if len(set(kinds)) < len(kinds):
        yield "$.commands", "two commands give the same kind", "Give each a kind of its own."
    unsaved = recipe.unsaved
    if unsaved is not None:
        if unsaved.says is not None and (why := refuse_command(unsaved.says.run)):
            yield "$.unsaved.says.run", f"{unsaved.says.run!r} {why}", "A recipe only reads."
        missing = [kind for kind in (unsaved.running, unsaved.startup) if kind and kind not in kinds]
        if missing:
            yield "$.unsaved", f"no command gives {missing[0]!r}", "Name kinds of the commands."


def refuse_command(text: str) -> str:
    """Why a recipe may not run this command; "" when it may."""
    words = text.split()
    if not words or (words[0] not in READING and words[0] not in WRAPPERS):
        return f"does not begin with a word that reads ({', '.join(sorted(READING))})"
    if _UNSAFE.search(text):
        return "has signs that begin another command"
    for part in text.split("|")[1:]:
        if part.split()[:1] not in (["no-more"], ["display"], ["include"], ["exclude"], ["nomore"]):
            return "hands its output to another program"
    if words[0] in WRAPPERS and (len(words) < 2 or words[1] != "show"):
        return "has a wrapper before something that does not begin with show"
    if words[0] == "/system" and words[-1] != "print":
        return "does not end with print"
    if words[0] == "rpm" and words[1:] != ["-qa"]:
        return "does not only list packages"
    bad = [word for word in text.split("|")[0].split()[1:] if word.strip("/") in FORBIDDEN]
    return f"has the word {bad[0]!r}, which can change a device" if bad else ""


WRAPPERS = frozenset(("/opt/vyatta/bin/vyatta-op-cmd-wrapper",))


def refuse_pattern(text: str) -> str:
    """Why a pattern is refused; "" when it may be used."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression: {error}"
    parsed = re._parser.parse(text)  # type: ignore[attr-defined]
    return "repeats a repetition, which can take for ever" if _repeats(parsed, inside=False) else ""


def _repeats(parsed: Any, *, inside: bool) -> bool:
    """Whether something without a small limit is repeated inside such a repetition."""
    for operation, value in parsed:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            many = value[1] > 64 if isinstance(value[1], int) else True
            if inside and many:
                return True
            if _repeats(value[2], inside=inside or (many and len(value[2]) > 0)):
                return True
        elif name == "SUBPATTERN":
            if _repeats(value[3], inside=inside):
                return True
        elif name == "BRANCH":
            if any(_repeats(one, inside=inside) for one in value[1]):
                return True
        elif name in ("ASSERT", "ASSERT_NOT") and _repeats(value[1], inside=inside):
            return True
    return False
