"""`forestall check-spec FILE`: what is wrong with a pack, or what it says in words."""

from dataclasses import dataclass

from forestall.judge.marked import Mistakes, PackMistake, PackMistakes
from forestall.judge.pack import read_pack
from forestall.judge.reading_backups import check_words
from forestall.judge.reading_texts import level_words
from forestall.judge.reasons import say_span, say_value
from forestall.judge.rules import KINDS, Level, Look, Op, Pack, Rule
from forestall.judge.values import State


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome: mistakes, or a summary in words (a line a rule)."""

    mistakes: tuple[PackMistake, ...]
    summary: str


def check_pack(file: str, text: str) -> Checked:
    """Check one pack by itself. `file` is its name, for the mistakes."""
    mistakes = Mistakes(file)
    pack = read_pack(text, mistakes)
    if pack is None or mistakes.found:
        return Checked(tuple(mistakes.found), "")
    return Checked((), summarise(pack))


def check(file: str, text: str) -> str:
    """The summary of a pack. Raises PackMistakes (a Trouble) with every mistake in it."""
    checked = check_pack(file, text)
    if checked.mistakes:
        raise PackMistakes(list(checked.mistakes))
    return checked.summary


def summarise(pack: Pack) -> str:
    """A pack in words."""
    kinds = "every kind of asset" if pack.kinds == KINDS else ", ".join(sorted(pack.kinds))
    lines = [f"{pack.title} (version {pack.version}), for {kinds}: {len(pack.rules)} rules"]
    lines += [
        f"  {rule.name}: {'; '.join(say_level(rule, level) for level in rule.levels)}" for rule in pack.rules
    ]
    return "\n".join(lines)


def say_level(rule: Rule, level: Level) -> str:
    """When a rule is in one state: `drifting when disk.used_ratio is above 85% for 10 min`."""
    name = str(level.state).replace("_", " ")
    match rule.look:
        case Look.EXPECTED:
            what = {"asset": "it", "probe": "a probe", "source": "a log source", "job": "a job",
                    "heartbeat": "a heartbeat", "heartbeat_end": "the end of a run"}  # fmt: skip
            said = what.get(rule.expected, "its log")
            return f"silent when {said} is not heard for {say_span(level.after_ms)}"
        case Look.LOG:
            where = f" from {', '.join(rule.sources)}" if rule.sources else ""
            return f"{name} at {level.limit:g} lines{where} in {say_span(level.within_ms)}"
        case Look.CHANGE:
            return f"{name} when one of {', '.join(rule.items)} changes"
        case Look.CAPTURE:
            return f"{name} when the capture of {', '.join(rule.items)} is refused or cut"
        case Look.BASELINE:
            return f"{name} when one of {', '.join(rule.items)} is not like its baseline"
        case Look.BACKUP:
            return f"{name} when {check_words(rule.check, level)}"
        case Look.CONFIGURATION:
            said = level_words(rule.demand) if rule.demand else ""
            return f"{name} when of {', '.join(rule.items)} {said}"
    conditions = []
    if level.has_limit:
        word = {Op.ABOVE: "is above", Op.BELOW: "is below", Op.EQUALS: "is", Op.RISES: "rises by"}[rule.op]
        held = f" for {say_span(level.for_ms)}" if level.for_ms else ""
        times = f", {level.times} times in a row" if level.times > 1 else ""
        conditions.append(f"{rule.metric} {word} {say_value(rule, level.limit)}{held}{times}")
    if level.full_within_days:
        conditions.append(f"it will be full within {level.full_within_days:g} days")
    quiet = "" if level.tells or level.state is State.DRIFTING else " (tells no one)"
    return f"{name} when {' or '.join(conditions)}{quiet}"
