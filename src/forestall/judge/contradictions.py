"""What a rule may not say at once: a worse state that is easier to reach than a better one, and the like."""

from itertools import pairwise

from forestall.judge.marked import Marked, Mistakes
from forestall.judge.rules import Level, Look, Op, Rule

FOR_MAX_MS = 7 * 86_400_000
FORECAST_MAX_DAYS = 28.0


def note_contradictions(rule: Rule, table: dict[str, Marked], mistakes: Mistakes) -> None:
    """Note every contradiction at the line where it stands."""
    for easy, hard in pairwise(rule.levels):
        at = table.get(str(hard.state)) or table.get("full_within") or Marked(None, 0)
        if rule.look is Look.METRIC and easy.has_limit and hard.has_limit:
            _compare_limits(rule, easy, hard, at=at, mistakes=mistakes)
        if rule.look is Look.LOG and hard.limit * easy.within_ms <= easy.limit * hard.within_ms:
            mistakes.add(
                at,
                f"`{hard.state}` is reached as easily as `{easy.state}`",
                f"Ask for more lines in the same time than `{easy.state}` does.",
            )
        if easy.full_within_days and hard.full_within_days >= easy.full_within_days:
            mistakes.add(
                table.get("full_within", at),
                f"`full_within` of `{hard.state}` is not nearer than that of `{easy.state}`",
                f"Write less than {easy.full_within_days:g} days.",
            )
    _check_forecast(rule, table, mistakes)
    for level in rule.levels:
        at = table.get(str(level.state)) or Marked(None, 0)
        if level.for_ms > FOR_MAX_MS:
            mistakes.add(
                at, f"`for` of `{level.state}` is longer than 7 days", "Write `for: 7 days` or less."
            )
    if rule.back < 0:
        mistakes.add(
            table["back"], "`back` is a margin and cannot be negative", "Write for example `back: 2%`."
        )
    elif rule.back and rule.op in (Op.EQUALS, Op.RISES):
        mistakes.add(
            table["back"], "`back` needs `above` or `below`", "Remove it; `back_for` holds a finding longer."
        )


def _compare_limits(rule: Rule, easy: Level, hard: Level, *, at: Marked, mistakes: Mistakes) -> None:
    sign = -1 if rule.op is Op.BELOW else 1
    ahead = (hard.limit - easy.limit) * sign
    if rule.op is Op.EQUALS:
        ahead = 0.0
    longer = hard.for_ms > easy.for_ms or hard.times > easy.times
    if ahead > 0 or (ahead == 0 and longer):
        return
    word = {Op.ABOVE: "above", Op.BELOW: "below", Op.EQUALS: "equals", Op.RISES: "rises_by"}[rule.op]
    shown = table_text(rule, easy, word)
    direction = "below" if rule.op is Op.BELOW else "above"
    mistakes.add(
        at,
        f"`{hard.state}` is reached {'as easily as' if ahead == 0 else 'more easily than'} `{easy.state}`",
        f"Choose a limit {direction} that of `{easy.state}` ({shown}), or a longer `for`.",
    )


def table_text(rule: Rule, level: Level, word: str) -> str:
    """The limit of a level as it was written."""
    written = rule.written.get(str(level.state)) or {}
    return f"{word}: {written.get(word, level.limit)}"


def _check_forecast(rule: Rule, table: dict[str, Marked], mistakes: Mistakes) -> None:
    if not rule.forecasts:
        return
    at = table["full_within"]
    if not rule.metric.endswith("_ratio") or rule.op is not Op.ABOVE:
        mistakes.add(
            at,
            "`full_within` is for shares that fill up to 100%",
            "Use it with a metric that ends in `_ratio` and with `above`.",
        )
    if any(level.full_within_days > FORECAST_MAX_DAYS for level in rule.levels):
        mistakes.add(at, f"no forecast reaches further than {FORECAST_MAX_DAYS:g} days", "Write less.")
