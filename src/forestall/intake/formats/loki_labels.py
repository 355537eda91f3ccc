"""The labels of a Loki stream as text: `{job="nginx", host="web1"}`. Pure.

Source: Grafana Loki, pkg/logql/syntax (labels as in Prometheus); Go's rules for quoted strings.
"""

import re
from functools import lru_cache

TEXT_MAX_CHARS = 64 << 10
REMEMBERED_MAX_CHARS = 1024

_LABEL = re.compile(
    r'\s*([A-Za-z_][A-Za-z0-9_.:]*)\s*=\s*(?:"((?:[^"\\\n]|\\.)*)"|`([^`]*)`)\s*(,|(?=\}))', re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_labels(text: str) -> dict[str, str] | str:
    """The labels by name, or what is wrong with them."""
    if len(text) > TEXT_MAX_CHARS:
        return f"the labels of a stream have at most {TEXT_MAX_CHARS} characters"
    pairs = _remembered(text) if len(text) <= REMEMBERED_MAX_CHARS else _read(text)
    return pairs if isinstance(pairs, str) else dict(pairs)


def _read(text: str) -> tuple[tuple[str, str], ...] | str:
    if not text.startswith("{"):
        return 'the labels of a stream stand in braces: {name="value"}'
    at, pairs = 1, []
    while found := _LABEL.match(text, at):
        quoted, bare = found[2], found[3]
        pairs.append((found[1], bare if quoted is None else _ESCAPE.sub(_meant, quoted)))
        at = found.end()
    if text[at:].strip() != "}":
        return f'the labels of a stream are wrong at character {at + 1}: they are {{name="value", …}}'
    return tuple(pairs)


_remembered = lru_cache(maxsize=4096)(_read)


def _meant(found: re.Match[str]) -> str:
    byte, four, eight, octal, letter = found.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    code = int(octal, 8) if octal else int(byte or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return chr(code)
