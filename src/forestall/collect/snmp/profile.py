"""Profiles: what to ask a kind of device by SNMP, and what it means. One YAML file each.

A profile names columns of tables (or single values) by OID and says which metric each becomes, what the item
is called, and which numbers are states. See docs/howto/snmp-profile.md.
"""

import re
import string
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from forestall.kernel.errors import Trouble

HOME = "forestall.collect.snmp"
GENERIC = "generic"
FILE_MAX_BYTES = 64 << 10
PROFILES_MAX = 500
INHERIT_MAX = 20
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where there is one: ten times as fast
HOW = "See docs/howto/snmp-profile.md."

Oid = Annotated[str, Meta(pattern=r"^1\.[0-9]+(\.[0-9]+){1,100}$")]
Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Title = Annotated[str, Meta(min_length=2, max_length=100)]
Metric = Annotated[str, Meta(pattern=r"^[a-z]+\.[a-z0-9_]{1,60}$")]
Match = int | str
Where = dict[Word, list[Match]]


class Instead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another column that says the same where the first is missing, × `scale`; `bits` of a counter."""

    take: Word
    scale: float = 1.0
    bits: Literal[0, 32, 64] = 0


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A metric from columns: (take + add …) × scale, ÷ (per + …), 1 minus it with `rest`.

    `rate`: the bits of a counter; per second then. `exponent`: a column with EntitySensorDataScale, `digits`
    one with decimal digits. `states`: number and word of each state, a number that is null is not told.
    `unknown`: values that mean that nothing is known. Below `least` or above `most` it is nonsense and is
    counted; `clip` cuts it down. `bit`: 1 where one of these bits of a BITS text is set (0 is the first),
    else 0. `limit`: the column with the fastest rate (× limit_scale). `after_good`: a 0 is told only of what
    was seen otherwise before.
    """

    metric: Metric
    take: Word
    add: list[Word] = []
    per: list[Word] = []
    rest: bool = False
    scale: float = 1.0
    rate: Literal[0, 32, 64] = 0
    exponent: Word | None = None
    digits: Word | None = None
    states: dict[int, tuple[float | None, str]] = {}
    bit: Annotated[list[Annotated[int, Meta(ge=0, le=127)]], Meta(max_length=20)] = []
    unknown: list[int] = []
    least: float | None = None
    most: float | None = None
    clip: float | None = None
    limit: Word | None = None
    limit_scale: float = 1.0
    where: Where = {}
    unless: Where = {}
    after_good: bool = False

    @property
    def columns(self) -> Iterator[str]:
        """The names of all columns that it needs."""
        yield from (self.take, *self.add, *self.per, *self.where, *self.unless)
        yield from (name for name in (self.exponent, self.digits, self.limit) if name)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A table, or single values (`single`, OIDs with their `.0`).

    `item`: how a row is called, the first template whose columns are all there; none: the values are the
    device's own. `combine`: all rows make one number. `began`: a column that changes when the row's counters
    begin again. `slow`: columns that are read again only now and then, or when rows come and go. `inventory`:
    columns that describe what is there; they become lines of the snapshot, with `words` for numbers and `hex`
    for addresses.
    """

    name: Word
    single: bool = False
    columns: dict[Word, Oid]
    item: list[str] = []
    where: Where = {}
    unless: Where = {}
    instead: dict[Word, Instead] = {}
    began: Word | None = None
    slow: list[Word] = []
    combine: Literal["mean", "sum", "most", "least"] | None = None
    values: list[Number] = []
    inventory: list[Word] = []
    words: dict[Word, dict[int, str]] = {}
    hex: list[Word] = []

    @cached_property
    def item_columns(self) -> frozenset[str]:
        """The columns in the templates of the item."""
        return frozenset(
            name for text in self.item for _, name, _, _ in string.Formatter().parse(text) if name
        ) - {"index"}

    @cached_property
    def polled(self) -> tuple[str, ...]:
        """Columns that every poll reads, those only used instead of others left out."""
        names = dict.fromkeys(self.item_columns)
        for number in self.values:
            names |= dict.fromkeys(number.columns)
        if self.values:
            names |= dict.fromkeys((*self.where, *self.unless, *([self.began] if self.began else [])))
            return tuple(sorted(names))
        return ()

    @cached_property
    def listed(self) -> tuple[str, ...]:
        """Columns that only the inventory reads."""
        names = {*self.inventory, *self.item_columns, *self.where, *self.unless} if self.inventory else set()
        return tuple(sorted(names - set(self.polled)))


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fact of the device: a text, or the first of `oids` that says something (`table`: of its rows), and of
    that the first group of `pattern`."""

    says: str = ""
    oids: list[Oid] = []
    table: bool = False
    pattern: str = ""


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the device as such."""

    vendor: Fact | None = None
    model: Fact | None = None
    serial: Fact | None = None
    os_version: Fact | None = None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A kind of device. `matches`: beginnings of sysObjectID. `present`: a single value that only such a
    device has, where others say the same sysObjectID. `groups` of the profiles that it inherits come
    first; a group of the same name replaces theirs, and `without` leaves some out."""

    title: Title
    source: Annotated[str, Meta(min_length=3, max_length=500)]
    matches: Annotated[list[Oid], Meta(max_length=100)] = []
    present: Oid | None = None
    inherits: Annotated[list[str], Meta(max_length=INHERIT_MAX)] = []
    without: list[Word] = []
    facts: Facts = Facts()
    groups: Annotated[list[Group], Meta(max_length=40)] = []
    name: str = ""


class ProfileMistake(Trouble):
    """What is wrong in a profile: file, line, and what to write instead."""

    def __init__(self, file: str, line: int, what: str, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {what}", remedy)
        self.line = line


@cache
def profile_names() -> tuple[str, ...]:
    """The names of the profiles that come with the product."""
    files = (resources.files(HOME) / "profiles").iterdir()
    return tuple(sorted(f.name[:-5] for f in files if f.name.endswith(".yaml"))[:PROFILES_MAX])


@cache
def find_profile(name: str) -> Profile:
    """A profile by its name, with what it inherits. Raises Trouble that names those there are."""
    if name not in profile_names():
        raise Trouble(f"there is no profile {name!r}", f"Profiles are {', '.join(profile_names())}.")
    file = resources.files(HOME) / "profiles" / f"{name}.yaml"
    return read_profile(name, file.read_text(encoding="utf-8"))


@cache
def _by_prefix() -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in profile_names():
        for prefix in find_profile(name).matches:
            found.setdefault(prefix, []).append(name)
    return found


def choose_profiles(object_id: str) -> list[Profile]:
    """The profiles with the longest beginning of this sysObjectID, those that want something present first;
    the last one wants nothing (the generic one, if no other)."""
    parts = object_id.strip(".").split(".")
    names: list[str] = []
    for length in range(len(parts), 0, -1):
        names += _by_prefix().get(".".join(parts[:length]), [])
    found = [find_profile(name) for name in (*names, GENERIC)]
    plain = next(index for index, profile in enumerate(found) if profile.present is None)
    return found[: plain + 1]


def read_profile(name: str, text: str) -> Profile:
    """A profile from its YAML. Raises ProfileMistake with the line of the first mistake."""
    file = f"{name}.yaml"
    if len(text.encode()) > FILE_MAX_BYTES:
        raise ProfileMistake(
            file, 1, f"it has more than {FILE_MAX_BYTES} bytes", "A profile is a short file."
        )
    try:
        node = yaml.compose(text, LOADER)
        plain = yaml.load(text, LOADER)  # noqa: S506 - the safe one in C, or the safe one
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        remedy = "Put OIDs and texts with signs in 'quotes', and indent with spaces."
        raise ProfileMistake(file, line, f"this is not YAML: {error.problem}", remedy) from None
    except yaml.YAMLError as error:
        raise ProfileMistake(file, 1, f"this is not YAML: {error}", "Remove control characters.") from None
    lines = dict(_lines("$", node)) if node is not None else {}
    try:
        profile = msgspec.convert(plain, Profile, strict=True)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        raise ProfileMistake(file, _line_of(lines, path), f"{path.removeprefix('$.')}: {what}", HOW) from None
    for path, what, remedy in _mistakes(profile, name):
        raise ProfileMistake(file, _line_of(lines, path), what, remedy)
    return _with_inherited(name, profile)


def _with_inherited(name: str, profile: Profile) -> Profile:
    groups: dict[str, Group] = {}
    facts: dict[str, Fact | None] = {}
    for other in profile.inherits:
        base = find_profile(other)
        groups |= {group.name: group for group in base.groups}
        facts |= {key: value for key, value in msgspec.structs.asdict(base.facts).items() if value}
    groups = {key: group for key, group in groups.items() if key not in profile.without}
    groups |= {group.name: group for group in profile.groups}
    facts |= {key: value for key, value in msgspec.structs.asdict(profile.facts).items() if value}
    return msgspec.structs.replace(profile, name=name, groups=list(groups.values()), facts=Facts(**facts))


def _lines(path: str, node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Where each value stands: `$.groups[0].item` → line."""
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
        path = re.sub(r"(\.\w+|\[[^\]]*\])$", "", path) if re.search(r"(\.\w+|\[[^\]]*\])$", path) else "$"
    return lines.get(path, 1)


def _mistakes(profile: Profile, name: str) -> Iterator[tuple[str, str, str]]:
    """What types cannot say: (path, what, what to write instead)."""
    for place, other in enumerate(profile.inherits):
        if other == name or other not in profile_names():
            yield f"$.inherits[{place}]", f"there is no other profile {other!r}", "Name one of the others."
    for fact_name, fact in msgspec.structs.asdict(profile.facts).items():
        if fact is None:
            continue
        if bool(fact.says) == bool(fact.oids):
            yield f"$.facts.{fact_name}", "it needs `says` or `oids`, one of them", HOW
        try:
            groups = re.compile(fact.pattern).groups
        except re.error as error:
            yield f"$.facts.{fact_name}.pattern", f"no regular expression: {error}", "Correct it."
        else:
            if fact.pattern and not groups:
                yield f"$.facts.{fact_name}.pattern", "it has no group", "Write (…) around what is meant."
    names = [group.name for group in profile.groups]
    for place, group in enumerate(profile.groups):
        path = f"$.groups[{place}]"
        if names.count(group.name) > 1:
            yield f"{path}.name", f"two groups are called {group.name!r}", "Give each a name of its own."
        yield from _mistakes_of_group(path, group)


def _mistakes_of_group(path: str, group: Group) -> Iterator[tuple[str, str, str]]:
    known = f"Its columns are {', '.join(group.columns)}."

    def missing(where: str, names: Iterator[str]) -> Iterator[tuple[str, str, str]]:
        for name in names:
            if name not in group.columns:
                yield where, f"there is no column {name!r}", known

    for place, number in enumerate(group.values):
        yield from missing(f"{path}.values[{place}]", number.columns)
        if number.rate and number.states:
            yield f"{path}.values[{place}].states", "a rate has no states", "Leave one of them out."
    for key in ("where", "unless", "slow", "inventory", "hex", "words", "instead"):
        yield from missing(f"{path}.{key}", iter(getattr(group, key)))
    yield from missing(f"{path}.instead", (other.take for other in group.instead.values()))
    if group.began:
        yield from missing(f"{path}.began", iter((group.began,)))
    try:
        yield from missing(f"{path}.item", iter(group.item_columns))
    except ValueError as error:
        yield f"{path}.item", f"no template: {error}", "Write columns in braces: '{name}'."
