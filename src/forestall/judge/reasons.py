"""Reasons in words with the numbers: the one sentence that a person reads of every verdict."""

import math
from collections.abc import Sequence

from forestall.judge.rules import Level, Op, Rule
from forestall.judge.values import JudgedChange
from forestall.kernel.clock import from_ms
from forestall.kernel.words import say_duration, say_list, say_quantity

LINE_MAX_CHARS = 160
CLOSE_MS = 120_000  # captures that are closer are told apart by their seconds
HOLDS_LEAST_MS = 30_000  # shorter than that is said as "now", without a duration


def say_span(span_ms: float) -> str:
    """A span of milliseconds in words."""
    return say_duration(span_ms / 1000)


def say_days(days: float) -> str:
    """How far away something is: `3 days`, `5 h`."""
    return say_duration(days * 86_400)


def say_value(rule: Rule, value: float) -> str:
    """A value in the unit of the rule's metric."""
    return say_quantity(rule.metric, value)


def say_condition(rule: Rule, item: str, value: float) -> str:
    """What is observed: `/var is 93.4% full`."""
    if rule.metric == "certificate.days_left" and value < 0:
        return f"the certificate of {item} ran out {say_days(-value)} ago"
    if rule.metric == "domain.days_left" and value < 0:
        return f"the registration of {item} ran out {say_days(-value)} ago"
    said = rule.says.format(item=item, value=say_value(rule, value))
    return " ".join(said.replace(" of  is", " is").split())


def say_limit(rule: Rule, level: Level) -> str:
    """The limit in brackets, or "" where the condition says it all (`equals`)."""
    if rule.op is Op.EQUALS or not level.has_limit:
        return ""
    if rule.op is Op.RISES or (rule.op is Op.ABOVE and level.limit == 0):
        return ""
    return f" (limit {say_value(rule, level.limit)})"


def say_full(days_left: float) -> str:
    """The forecast: `at this pace it is full in 3 days`."""
    return f"at this pace it is full in {say_days(days_left)}"


def say_disagreement(
    rule: Rule, level: Level, *, item: str, value: float, held_ms: int, days_left: float, said: str
) -> str:
    """Why a rule disagrees. `held_ms`: for how long; `said`: a probe's own reason."""
    if said:
        held = f" (for {say_span(held_ms)})" if held_ms >= HOLDS_LEAST_MS else ""
        return f"{item}: {said}{held}"
    limit = say_limit(rule, level)
    if rule.op is Op.RISES:
        known = rule.says.format(item=item, value=say_value(rule, value))
        return f"{known}: {say_value(rule, value)} more than before"
    held = f" for {say_span(held_ms)}" if held_ms >= HOLDS_LEAST_MS else ""
    text = say_condition(rule, item, value) + limit + held
    if math.isfinite(days_left):
        text += f"; {say_full(days_left)}"
    return text


def say_recovery(rule: Rule, *, item: str, value: float, lasted_ms: int) -> str:
    """Why a finding ended."""
    after = f"after {say_span(lasted_ms)}"
    if rule.metric == "probe.up":
        return f"{item} answers as it should again {after}"
    if rule.op is Op.RISES:
        return f"it has not happened again for {say_span(rule.back_ms)}"
    limits = [level.limit for level in rule.levels if level.has_limit]
    limit = f" (limit {say_value(rule, limits[0])})" if limits and rule.op is not Op.EQUALS else ""
    name = item or rule.metric.rsplit("_", 1)[0].replace(".", " ").replace("_", " ")
    if rule.op is Op.EQUALS:
        return f"{name} is as it should be again {after}"
    return f"{name} is back at {say_value(rule, value)}{limit} {after}"


def say_easing(rule: Rule, *, item: str, value: float, level: Level) -> str:
    """Why a finding became less bad without ending."""
    return f"{say_condition(rule, item, value)}{say_limit(rule, level)}, no longer worse"


def say_gone(item: str, since_ms: int) -> str:
    """Why a finding about something that is no longer reported ended."""
    return f"{item} is no longer reported (last {say_span(since_ms)} ago); it was removed or switched off"


def say_silence(what: str, *, silent_ms: int, interval_ms: int, limit_ms: int) -> str:
    """Why something expected counts as silent."""
    expected = f"expected every {say_span(interval_ms)}, " if interval_ms else ""
    return f"{what} for {say_span(silent_ms)} ({expected}limit {say_span(limit_ms)})"


def say_lines(*, count: int, within_ms: int, level: Level, lines: Sequence[str]) -> str:
    """Why a log rule disagrees."""
    example = lines[-1] if lines else ""
    if len(example) > LINE_MAX_CHARS:
        example = example[:LINE_MAX_CHARS] + "…"
    if count == 1:
        return f"the log says: {example}"
    limit = f" (limit {level.limit:g} in {say_span(level.within_ms)})"
    return f"{count} lines in {say_span(within_ms)}{limit}, the last: {example}"


def say_change(change: JudgedChange) -> str:
    """Why a change is a finding: what, between which captures, who was signed in."""
    name = change.title or change.kind
    first, last = from_ms(change.after_at_ms), from_ms(change.at_ms)
    clock = "%H:%M:%S" if change.at_ms - change.after_at_ms < CLOSE_MS else "%H:%M"
    until = last.strftime(clock if first.date() == last.date() else f"%d %b {clock}")
    text = f"{name} changed"
    if change.after_at_ms:
        text += f" between {first:%d %b} {first.strftime(clock)} and {until} UTC"
    text += " in a maintenance window" if change.planned else " outside a maintenance window"
    if change.summary:
        text += f": {change.summary}"
    if change.signed_in:
        text += f"; signed in: {say_list(list(change.signed_in))}"
    return text
