"""From what a device wrote to the text of a snapshot: echo, paging, secrets, what varies. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from forestall.collect.devices.recipe import LINE_MAX_CHARS, Block, Command, Recipe
from forestall.collect.masking import Masker

# ECMA-48: CSI … final byte; OSC … BEL or ST; two-character escapes.
_CODES = re.compile(
    r"\x1b\[[0-?]{0,32}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|\x1b[@-Z\\^_=>78]"
)
_NEXT_LINE = re.compile(r"\x1bE")
_ERASE = re.compile(r"\x1b\[0?K")  # to the end of the line
_BACK = re.compile(r"\x1b\[(\d{0,3})D")
_ERASED = "\x0e"
_CONTROL = re.compile(r"[\x00-\x07\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f]")
LINES_MAX = 200_000
HEAD_LINES = 4  # a refusal stands in the first lines
VARIES = "‹secret›"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The text of a snapshot, or why there is none."""

    text: str
    problem: str = ""

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return self.text.splitlines()


def plain_text(data: str) -> str:
    """Text as a terminal shows it: codes left out, what was typed over gone, lines ended by one newline."""
    text = data.replace(_ERASED, "").replace("\r\r\n", "\n").replace("\r\n", "\n")
    if "\x1b" in text:
        text = _ERASE.sub(_ERASED, _NEXT_LINE.sub("\n", text))
        text = _CODES.sub("", _BACK.sub(lambda found: "\b" * int(found[1] or 1), text))
    if "\r" in text or "\b" in text or _ERASED in text:
        text = "\n".join(_typed_over(line) for line in text.split("\n"))
    return _CONTROL.sub("", text)


def _typed_over(line: str) -> str:
    """A line in which the carriage went back."""
    if "\r" not in line and "\b" not in line and _ERASED not in line:
        return line
    shown: list[str] = []
    place = 0
    for letter in line:
        if letter == "\r":
            place = 0
        elif letter == "\b":
            place = max(0, place - 1)
        elif letter == _ERASED:
            del shown[place:]
        else:
            shown[place : place + 1] = [letter]
            place += 1
    return "".join(shown)


def output_of(data: str, *, command: str, prompt: str, recipe: Recipe) -> list[str]:
    """The lines that a command wrote: without its echo, the prompt that follows, and prompts of a pager."""
    lines = plain_text(data).split("\n")[:LINES_MAX]
    if lines and prompt and lines[-1].strip().endswith(prompt.strip()):
        rest = lines[-1].strip().removesuffix(prompt.strip())
        lines[-1:] = [rest] if rest else []
    for place, line in enumerate(lines[:3]):
        if line.rstrip().endswith(command.strip()):
            lines = lines[place + 1 :]
            break
    if recipe.more:
        pager = recipe.compiled[recipe.more]
        lines = [
            pager.sub("", line[:LINE_MAX_CHARS]) + line[LINE_MAX_CHARS:]
            if pager.search(line[:LINE_MAX_CHARS])
            else line
            for line in lines
        ]
    return [line.rstrip() for line in lines]


def clean(lines: Sequence[str], command: Command, recipe: Recipe, masker: Masker) -> Cleaned:
    """What a command wrote as the text of its snapshot: refused or cut output has a problem and no text."""
    problem = _refusal(lines, command, recipe) or _cut(lines, command, recipe)
    if problem:
        return Cleaned("", problem)
    kept = list(_from(lines, command, recipe))
    kept = _mask_blocks(kept, recipe, masker)
    kept = _mask_lines([line for line in kept if not _varies(line, command, recipe)], recipe, masker)
    if command.keep:
        kept = [line for line in kept if recipe.matches_any(command.keep, line)]
    if command.sorted:
        kept.sort()
    while kept and not kept[0].strip():
        kept.pop(0)
    while kept and not kept[-1].strip():
        kept.pop()
    if len([line for line in kept if line.strip()]) < command.least_lines:
        return Cleaned("", f"{command.run} gave {len(kept)} lines, fewer than {command.least_lines}")
    return Cleaned(_safety_net(kept, recipe, masker) + "\n")


def _refusal(lines: Sequence[str], command: Command, recipe: Recipe) -> str:
    head = [line for line in lines if line.strip()][:HEAD_LINES]
    for line in head:
        if recipe.matches_any([*command.refused, *recipe.refused], line):
            return f"the device refuses {command.run!r}: {line.strip()[:200]}"
    return "" if head else f"the device answers nothing to {command.run!r}"


def _cut(lines: Sequence[str], command: Command, recipe: Recipe) -> str:
    if command.complete is None:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if recipe.matches(command.complete, last):
        return ""
    shown = _SECRETIVE.sub("…", last[:60])
    return f"{command.run!r} was cut short: its {len(lines)} lines have no end mark (the last is {shown!r})"


_SECRETIVE = re.compile(r"(?i)(?<=\S)\s.*")  # the first word of a line alone: the rest may be a secret


def _from(lines: Sequence[str], command: Command, recipe: Recipe) -> Sequence[str]:
    if command.begins is None:
        return lines
    start = next((place for place, line in enumerate(lines) if recipe.matches(command.begins, line)), 0)
    return lines[start:]


def _varies(line: str, command: Command, recipe: Recipe) -> bool:
    return recipe.matches_any(command.volatile, line) or recipe.matches_any(recipe.volatile, line)


def _mask_lines(lines: Sequence[str], recipe: Recipe, masker: Masker) -> list[str]:
    """Every secret that the recipe knows, by line; some only between two lines."""
    inside = dict.fromkeys((one for one in recipe.secrets if one.within), False)
    found: list[str] = []
    for line in lines:
        if len(line) > LINE_MAX_CHARS:  # no setting that a person writes
            begin = re.split(r"[\s>=\"']", line[:40], maxsplit=1)[0]
            found.append(f"{begin}… {masker.mark(line)} (a line of {len(line)} characters)")
            continue
        masked = line
        for secret in recipe.secrets:
            if secret.within is not None:
                if inside[secret] and recipe.matches(secret.until, line):
                    inside[secret] = False
                elif recipe.matches(secret.within, line):
                    inside[secret] = True
                if not inside[secret]:
                    continue
            masked = recipe.compiled[secret.line].sub(_marked(masker, varies=secret.varies), masked)
        found.append(masked)
    return found


def _marked(masker: Masker, *, varies: bool) -> Callable[[re.Match[str]], str]:
    def replace(found: re.Match[str]) -> str:
        value = found["secret"]
        if not value or "‹" in value or "›" in value:  # a mark, or a part of one
            return found[0]
        start, stop = found.start("secret") - found.start(), found.end("secret") - found.start()
        quote = value[0] if len(value) > 2 and value[0] == value[-1] and value[0] in "\"'" else ""
        mark = VARIES if varies else masker.mark(value.strip("\"'") if quote else value)
        return found[0][:start] + quote + mark + quote + found[0][stop:]

    return replace


def _mask_blocks(lines: list[str], recipe: Recipe, masker: Masker) -> list[str]:
    """Lines of a block become one mark; a block that never ends goes to the end of the text."""
    if not recipe.blocks:
        return lines
    kept: list[str] = []
    block: Block | None = None
    inside: list[str] = []
    for line in lines:
        if block is None:
            kept.append(line)
            block = next((one for one in recipe.blocks if recipe.matches(one.begins, line)), None)
            inside = []
        elif recipe.matches(block.ends, line):
            kept += [_of_block(inside, block, masker), line]
            block = None
        else:
            inside.append(line.strip())
    if block is not None:
        kept.append(_of_block(inside, block, masker))
    return [line for line in kept if line is not None]


def _of_block(inside: list[str], block: Block, masker: Masker) -> str:
    return VARIES if block.varies else masker.mark("\n".join(inside))


def _safety_net(lines: list[str], recipe: Recipe, masker: Masker) -> str:
    """What looks like a secret to anybody is masked even where the recipe does not know it."""
    if not recipe.plain:
        return masker.mask("\n".join(lines))
    spared = {place: line for place, line in enumerate(lines) if recipe.matches_any(recipe.plain, line)}
    masked = masker.mask("\n".join("" if place in spared else line for place, line in enumerate(lines)))
    found = masked.split("\n")
    if len(found) != len(lines):  # a block was taken as a whole: nothing is spared then
        return masker.mask("\n".join(lines))
    return "\n".join(spared.get(place, line) for place, line in enumerate(found))


def differing(running: str, startup: str, recipe: Recipe) -> int:
    """How many lines of two cleaned configurations differ, without those that differ anyway."""
    without = recipe.unsaved.without if recipe.unsaved else []

    def lines_of(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.strip() and not recipe.matches_any(without, line)]

    one, other = lines_of(running), lines_of(startup)
    if one == other:
        return 0
    counts: dict[str, int] = {}
    for line in one:
        counts[line] = counts.get(line, 0) + 1
    for line in other:
        counts[line] = counts.get(line, 0) - 1
    return max(1, sum(map(abs, counts.values())))
