"""Log templates: shapes that differ in a name alone are one message. For recognising what recurs; what is
stored is never changed by it.

    session opened for user root by (uid=␁)      two shapes (kernel/shapes.py)
    session opened for user test by (uid=␁)
    session opened for user <*> by (uid=<*>)     their template

A shape is read as words and the punctuation between them; numbers, addresses, paths, host names, dates and
units vary by themselves, as does a name behind `user` or `host`. Of the rest a word varies

- where at least `Ways.words` shapes differ in it alone (`values` behind a `=`, `first` at the beginning of
  the message), and none of the words says a state: `started` and `stopped` are never one message;
- where another template has a variable in its place and all else is equal.

    templates = Templates(kept)                  # what `known()` gave last time, or nothing
    templates.learn(shapes)                      # distinct ones, see `shape_text`; cheap when none is new
    templates.of(shape)                          # Template(fingerprint, text)
    templates.of_line(message)                   # the same of a message as it came

A template keeps the fingerprint of its oldest shape, however much it takes in later; `now(fingerprint)` says
what became of one. The text of a template may be asked for like a shape: who keeps the text beside something
that happened finds today's fingerprint of it in any process, also without what `known()` gave. What an asset
said in a time, by templates, is read by `telemetry.messages`. Pure; bounded by SHAPES_MAX.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from forestall.kernel.shapes import shape_text

WILD = "<*>"
SHAPES_MAX = 20_000  # more are templates of their own, and not remembered
WORDS_MAX = 120  # of a shape, with punctuation; what comes behind them varies
ROUNDS_MAX = 4
FEW = 2_000  # shapes up to which every new one is looked at against all others at once
GROWTH = 0.05  # beyond: when so many are new

_BLANK = " "
_VARIES = re.compile(r"[\x01-\x03\d]")
_WHOLE = re.compile(  # what is one variable although it has punctuation
    r"<\*>|[a-z][a-z+.-]*://[^\s,;)\]\"']+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|#[\x01-\x03\d]+#"
    r"|(?<![0-9A-Za-z:])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){3,}(?![0-9A-Za-z])"
)
_PARTS = re.compile(r"(\s+|\.{2,}|[=:,;()\[\]{}'\"|!?#<>])")
_HOST = re.compile(
    r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.(?:com|net|org|edu|gov|mil|info|biz|local|[a-z]{2})\.?"
)
_JOINING = frozenset(":,-./\\_+")  # one of them between two variables makes them one
_DATE_WORDS = """
mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec monday tuesday wednesday
thursday friday saturday sunday january february march april june july august september october
november december
"""
_UNIT_WORDS = """
b kb mb gb tb kib mib gib tib ns us ms msec s sec secs utc gmt est edt pst pdt cet cest
"""
_STATE_WORDS = """
start started starting startup stop stopped stopping up down on off open opened opening close closed
closing succeeded success successful successfully fail failed failing failure error errors ok
enabled disabled enable disable true false yes no not connect connected connecting disconnect
disconnected accepted rejected denied allowed refused granted added removed created deleted
registered unregistered read write reading writing online offline active inactive begin end enter
exit entering entered leaving left received sent send receive valid invalid known unknown lost found
missing new old changed unchanged warning warn info critical fatal crash crashed killed dead alive
timeout expired available unavailable present absent full empty ready busy idle locked unlocked
mounted unmounted loaded unloaded login logout in out before after
"""
_DATES = frozenset(_DATE_WORDS.split())
_UNITS = frozenset(_UNIT_WORDS.split())
STATES = frozenset(_STATE_WORDS.split())
_NAMED = frozenset(("user", "username", "host", "hostname"))

Words = tuple[str, ...]


class Template(NamedTuple):
    """What a line says apart from what varies (WILD). `fingerprint`: 63 bits, never 0."""

    fingerprint: int
    text: str


class Ways(NamedTuple):
    """How many words have to be met in one place until it varies: in the midst, behind a `=`, at first."""

    words: int = 4
    values: int = 2
    first: int = 12


WAYS = Ways()


def read_shape(shape: str) -> Words:
    """The words, blanks and punctuation of a shape, with WILD for what varies by itself."""
    text = _WHOLE.sub("\x02", shape.strip())
    found = [_word(part) for part in _PARTS.split(text) if part]
    cut = len(found) > WORDS_MAX
    found = found[:WORDS_MAX]
    for place in range(len(found)):
        if _varies_here(found, place):
            found[place] = WILD
    return _joined(_filled([*found, WILD] if cut else found))


class Templates:
    """The templates of the shapes of one client, or of several."""

    def __init__(self, known: Iterable[tuple[int, str]] = (), *, ways: Ways = WAYS) -> None:
        """`known` as `known()` gave it: its fingerprints are kept."""
        self._ways = ways
        self._template: dict[Words, Words] = {}  # shape → template
        self._first: dict[Words, int] = {}  # template → its fingerprint
        self._became: dict[int, int] = {}
        self._order: dict[int, int] = {}  # fingerprint → how early it came
        self._fresh = 0
        for fingerprint, text in known:
            words = read_shape(text)
            if len(self._template) < SHAPES_MAX and words not in self._template:
                self._take(words, fingerprint)
        self._mine()

    def learn(self, shapes: Iterable[str]) -> None:
        """Shapes that lines have (`kernel.shapes.shape_text`), the known ones among them."""
        for shape in shapes:
            words = read_shape(shape)
            if words not in self._template and len(self._template) < SHAPES_MAX:
                self._take(words, _number(words))
                self._fresh += 1
        if self._fresh and (len(self._template) <= FEW or self._fresh > GROWTH * len(self._template)):
            self._mine()

    def of(self, shape: str) -> Template:
        """The template of a shape, or of a template's text. One that was not learned is its own."""
        words = read_shape(shape)
        template = self._template.get(words, words)
        return Template(self._first.get(template) or _number(template), "".join(template))

    def of_line(self, line: str) -> Template:
        """The template of a message as it came."""
        return self.of(shape_text(line) or line)

    def now(self, fingerprint: int) -> int:
        """What a fingerprint that was given once is today."""
        while fingerprint in self._became:
            fingerprint = self._became[fingerprint]
        return fingerprint

    def known(self) -> list[tuple[int, str]]:
        """Fingerprint and text of every template, the oldest first: what to keep for the next start."""
        ordered = sorted(self._first.items(), key=lambda pair: self._order[pair[1]])
        return [(fingerprint, "".join(words)) for words, fingerprint in ordered]

    def _take(self, words: Words, fingerprint: int) -> None:
        self._template[words] = words
        if words not in self._first:
            self._first[words] = fingerprint
            self._order.setdefault(fingerprint, len(self._order))

    def _mine(self) -> None:
        """Bring what is one message together, as long as that makes more so."""
        self._fresh = 0
        for _ in range(ROUNDS_MAX):
            moved = _branches(self._first, self._ways)
            moved |= _covered({moved.get(words, words) for words in self._first})
            if not moved:
                return
            self._move(moved)

    def _move(self, moved: dict[Words, Words]) -> None:
        def target(words: Words) -> Words:
            for _ in range(2):  # by its branches, then by what covers that
                words = moved.get(words, words)
            return words

        fingerprints: dict[Words, int] = {}
        for words, fingerprint in sorted(self._first.items(), key=lambda pair: self._order[pair[1]]):
            oldest = fingerprints.setdefault(target(words), fingerprint)
            if oldest != fingerprint:
                self._became[fingerprint] = oldest
        self._first = fingerprints
        self._template = {shape: target(words) for shape, words in self._template.items()}
        for words in fingerprints:  # so that its text may be asked for
            self._template.setdefault(words, words)


def _word(part: str) -> str:
    if part.isspace():
        return _BLANK
    path = len(part) > 1 and "/" in part and (part[0] in "/~." or part.count("/") > 1)
    return WILD if path or _VARIES.search(part) or _HOST.fullmatch(part) else part


def _varies_here(found: Sequence[str], place: int) -> bool:
    """A date, a unit or a name is known by what stands beside it."""
    low = found[place].lower()
    before = found[place - 2] if place >= 2 else ""
    behind = found[place + 2] if place + 2 < len(found) else ""
    spaced = place >= 2 and found[place - 1] == _BLANK
    if low in _DATES:
        return before == WILD or behind == WILD or behind.lower() in _DATES
    if low in _UNITS:
        return spaced and before == WILD
    return spaced and before.lower() in _NAMED and low[0].isalpha() and low not in STATES


def _filled(found: Sequence[str]) -> list[str]:
    """Parentheses with nothing between them hold a variable that is empty in this line: `from ␃ ()`."""
    kept: list[str] = []
    for word in found:
        if word == ")" and kept[-2:] == [_BLANK, "("]:
            kept.append(WILD)
        kept.append(word)
    return kept


def _joined(words: Sequence[str]) -> Words:
    """Variables with nothing but a blank or a joining character between them are one."""
    kept: list[str] = []
    for word in words:
        if word == WILD:
            last = len(kept)
            while last and len(kept) - last < 2 and (kept[last - 1] in _JOINING or kept[last - 1] == _BLANK):
                last -= 1
            if last and kept[last - 1] == WILD:
                del kept[last:]
                continue
        kept.append(word)
    return tuple(kept)


def _branches(templates: Iterable[Words], enough: Ways) -> dict[Words, Words]:
    """Template → the one with a variable in the place in which most others differ from it alone."""
    ways: defaultdict[tuple[Words, Words], set[str]] = defaultdict(set)
    for words in templates:
        for place, word in enumerate(words):
            if word != WILD and (word[0].isalpha() or word[0] in "_$*"):
                ways[words[:place], words[place + 1 :]].add(word)
    best: dict[Words, tuple[int, Words]] = {}
    for (before, behind), there in ways.items():
        need = enough.first if not before else enough.values if before[-1] == "=" else enough.words
        if len(there) < need or any(word.lower() in STATES for word in there):
            continue
        if not any(word[0].isalpha() for word in (*before, *behind)):
            continue
        merged = (*before, WILD, *behind)
        for word in there:
            words = (*before, word, *behind)
            if words not in best or (len(there), merged) > best[words]:
                best[words] = (len(there), merged)
    return {words: _joined(merged) for words, (_, merged) in best.items()}


def _covered(templates: Iterable[Words]) -> dict[Words, Words]:
    """Template → one that says the same with a variable in one place where this has something else."""
    spaced = {words: _spaced(words) for words in sorted(templates)}
    general: dict[tuple[object, ...], list[tuple[Words, Words]]] = defaultdict(list)
    for words, parts in spaced.items():
        for place, part in enumerate(parts):
            if part.count(WILD) == 1 and (len(part) > 1 or len(parts) > 2):
                general[(place, *parts[:place], *parts[place + 1 :])].append((part, words))
    found: dict[Words, Words] = {}
    for words, parts in spaced.items():
        for place, part in enumerate(parts):
            for wild, other in general.get((place, *parts[:place], *parts[place + 1 :]), ()):
                if other != words and other not in found and _stands_for(wild, part):
                    found[words] = other
                    break
            if words in found:
                break
    return found


def _spaced(words: Words) -> list[Words]:
    """The words between blanks, each with its punctuation."""
    parts: list[Words] = []
    begin = 0
    for place in range(len(words) + 1):
        if place == len(words) or words[place] == _BLANK:
            if place > begin:
                parts.append(words[begin:place])
            begin = place + 1
    return parts


def _stands_for(wild: Words, part: Words) -> bool:
    """Whether the variable of `wild` can be what `part` has in its place."""
    place = wild.index(WILD)
    before, behind = wild[:place], wild[place + 1 :]
    middle = part[place : len(part) - len(behind)]
    return (
        len(middle) > 0
        and part[:place] == before
        and part[len(part) - len(behind) :] == behind
        and not any(word.lower() in STATES for word in middle)
    )


def _number(words: Words) -> int:
    return int.from_bytes(blake2b("".join(words).encode(), digest_size=8).digest()) >> 1 or 1
