"""Checks of runs as events: they come, they end well, in time, and are still reported where they run."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median

from forestall.judge.backups.facts import Facts, Found, is_good
from forestall.judge.backups.putting import begin_of, end_of
from forestall.judge.backups.retention import zone_of
from forestall.judge.backups.values import DAY_MS, HOUR_MS
from forestall.judge.backups.words import (
    say_ago,
    say_copies,
    say_copy,
    say_ms,
    say_run,
    say_time,
    short,
)
from forestall.kernel.backups import RunReport
from forestall.kernel.words import say_bytes

Settings = Mapping[str, float]
BASE = 30
DAILY_MS = 20 * HOUR_MS
REGULAR_MIN = 60
NEARLY = 0.8
UNREPORTED_BASE = 5
KEY_WORDS = re.compile(
    r"wrong password|no key found|passphrase supplied.{0,80}incorrect|incorrect passphrase|invalid "
    r"(password|key)"
    r"|password authentication failed|access denied for user|permission denied "
    r"\(publickey|decrypt.{0,30}failed"
    r"|ciphertext verification failed|passphrase.{0,40}(wrong|refused)|password.{0,20}(refused|incorrect)",
    re.IGNORECASE,
)
OLD_WORDS = re.compile(
    r"server version mismatch|version mismatch|unsupported (repository|server|file|config)? ?version"
    r"|(client|tool|program|restic|borg|pg_dump|mysqldump).{0,40}too old|column[-_ ]statistics"
    r"|generation_expression|server (is )?newer|older than the server",
    re.IGNORECASE,
)
FULL_WORDS = re.compile(
    r"no space left|disk quota exceeded|not enough (free )?(disk )?space|insufficient (free )?(space|storage)"
    r"|disk is full|file ?system is full|out of disk space",
    re.IGNORECASE,
)
LOCK_WORDS = re.compile(
    r"already locked|acquire the lock|create lock|repository is locked|lock.{0,20}timeout|lock is held",
    re.IGNORECASE,
)


ERROR_LINE = re.compile(
    r"\s*(fatal|error|critical|rsync error|rsync: \[.{1,20}\] .{0,80}failed|tar: error|gzip: "
    r".{0,80}unexpected"
    r"|(pg_dump|pg_dumpall|pg_basebackup|mysqldump|mariadb-dump|mongodump|borg|restic|tar|zstd|xz)(\.exe)?: "
    r"(error|fatal|got error|couldn't|cannot|.{0,60}cannot (open|stat|read)))\b.{0,4}[: ]",
    re.IGNORECASE,
)


def said_by(run: RunReport) -> str:
    """All words of a run."""
    return f"{run.reason}\n{run.output}"


def run_overdue(facts: Facts, settings: Settings) -> Found | None:
    """No good run within so many RPOs. Fault 15 (the timer is gone), 16 (the agent is disabled)."""
    plan = facts.plan
    last = facts.last_good_ms()
    began = max(last or 0, plan.started_ms)
    due = began + int(plan.rpo_ms * settings["intervals"]) + facts.grace_ms
    if facts.running is not None:
        due = max(due, begin_of(facts.running) + long_limit_ms(facts, 2, HOUR_MS))
    facts.wait(due + 1)
    if facts.now_ms <= due:
        return None
    silent = facts.history.silent_since_ms
    explained = silent is not None and silent < due
    expected = f"one is expected every {say_ms(plan.rpo_ms)}, with {say_ms(facts.grace_ms)} of grace"
    if last is None:
        reason = (
            f"no run was ever seen since {say_time(plan.started_ms)}, "
            f"{say_ago(began, facts.now_ms)}; {expected}"
        )
    else:
        reason = f"no good run since {say_time(last)}, {say_ago(last, facts.now_ms)}; {expected}"
    if explained and silent is not None:
        who = f"the collector {plan.collector}".rstrip()
        reason += f"; {who} that watches it is silent since {say_time(silent)}, so it may have run unseen"
    else:
        reason += _where_it_stands(facts, began)
    return Found(
        reason=reason,
        began_ms=due,
        explained=explained,
        numbers={"age_s": (facts.now_ms - began) / 1000, "limit_s": (due - began) / 1000},
        evidence=[say_run(one) for one in facts.ended[-3:]],
    )


def _where_it_stands(facts: Facts, began: int) -> str:
    said = ""
    if facts.opened is not None and facts.opened.at_ms > began and facts.copies:
        newest = say_copy(facts.plan.tool, facts.copies[-1])
        said = (
            f"; the repository, looked at {say_time(facts.opened.at_ms)}, shows no newer copy: "
            f"{newest} is the newest"
        )
    if facts.running is not None:
        return said + f"; a run that began {say_time(begin_of(facts.running))} has not ended"
    watched = facts.plan.collector or "its machine"
    if any(one.by == "job" for one in facts.ended[-10:]):
        said += (
            f"; {watched} is heard and nothing started the job: its timer or the job itself is "
            f"gone or disabled"
        )
    return said


def long_limit_ms(facts: Facts, times: float, least_ms: float) -> int:
    """How long a run may go on."""
    longest = facts.longest_ms()
    return int(max(facts.plan.rpo_ms if longest is None else times * longest, least_ms))


def run_failed(facts: Facts, settings: Settings) -> Found | None:
    """The newest run failed; `intervals`: and there was no good one for so many RPOs."""
    if not facts.ended or facts.ended[-1].said != "failed":
        return None
    last = facts.ended[-1]
    since = facts.last_good_ms()
    if settings["intervals"]:
        due = (
            max(since or 0, facts.plan.started_ms)
            + int(facts.plan.rpo_ms * settings["intervals"])
            + facts.grace_ms
        )
        facts.wait(due + 1)
        if facts.now_ms <= due:
            return None
    failed = _trailing(facts.ended, ("failed",))
    count = f"the last {len(failed)} runs failed" if len(failed) > 1 else "the run failed"
    code = f" (exit {last.exit_code})" if last.exit_code is not None else ""
    why = f": {short(last.reason)}" if last.reason else ""
    good = (
        f"the last good one was {say_ago(since, facts.now_ms)}"
        if since is not None
        else "there is no good one"
    )
    after = ""
    if facts.now_ms - end_of(last) > facts.plan.rpo_ms + facts.grace_ms:
        after = f", and none has run since {say_time(end_of(last))}"
    return Found(
        reason=f"{count}{code}, the newest {say_time(end_of(last))}{why}; {good}{after}",
        began_ms=end_of(failed[0]),
        run=last.run,
        since_run_ms=end_of(failed[0]),
        numbers={"failed_count": float(len(failed))},
        evidence=[say_run(one) for one in facts.ended[-3:]] + _tail(last),
    )


def run_warning(facts: Facts, _: Settings) -> Found | None:
    """The newest run ended with warnings. Fault 12: a warning is not a success."""
    if not facts.runs or facts.runs[-1].said != "warning":
        return None
    last = facts.runs[-1]
    warned = _trailing(facts.runs, ("warning",))
    code = f" (exit {last.exit_code})" if last.exit_code is not None else ""
    times = f", {len(warned)} times in a row" if len(warned) > 1 else ""
    why = short(last.reason) or "it does not say why"
    return Found(
        reason=f"the run of {say_time(end_of(last))} ended with warnings{code}{times}, which is no "
        f"success: {why}",
        began_ms=end_of(warned[0]),
        run=last.run,
        copy=last.copy,
        since_run_ms=end_of(warned[0]),
        numbers={"warnings_count": float(len(warned))},
        evidence=[say_run(last), *_tail(last)],
    )


def run_too_long(facts: Facts, settings: Settings) -> Found | None:
    """A run goes on for longer than any before. Fault 11: the repository is full and the tool hangs."""
    run = facts.running
    if run is None:
        return None
    limit = long_limit_ms(facts, settings["times"], settings["least"])
    began = begin_of(run)
    facts.wait(began + limit + 1)
    lasted = facts.now_ms - began
    if lasted <= limit:
        return None
    longest = facts.longest_ms()
    usual = (
        f"its longest took {say_ms(longest)}"
        if longest is not None
        else f"its RPO is {say_ms(facts.plan.rpo_ms)}"
    )
    reason = (
        f"a run that began {say_time(began)} goes on for {say_ms(lasted)} ({usual}, limit "
        f"{say_ms(limit)}): it hangs"
    )
    free = facts.opened.free if facts.opened else None
    if free is not None and facts.opened is not None:
        reason += f"; {say_bytes(free)} are free where the repository lies"
    silent = facts.history.silent_since_ms
    return Found(
        reason=reason,
        began_ms=began + limit,
        run=run.run,
        explained=silent is not None and silent < began + limit,
        numbers={"lasted_s": lasted / 1000, "limit_s": limit / 1000},
        evidence=[say_run(run), *_tail(run)],
    )


def duration_growth(facts: Facts, settings: Settings) -> Found | None:
    """Runs take ever longer, or nearly as long as the time between two."""
    spans = [
        (end_of(one), one.ended_ms - one.began_ms)
        for one in facts.runs[-(BASE + 5) :]
        if one.began_ms is not None and one.ended_ms is not None and is_good(one)
    ]
    if len(spans) < 12:
        return None
    recent = [span for _, span in spans[-5:]]
    base = sorted(span for _, span in spans[:-5])
    usual, now = median(base), median(recent)
    high = base[(len(base) - 1) * 9 // 10]
    grown = now >= settings["times"] * high and now - high >= settings["least"]
    if not grown and (now < NEARLY * facts.plan.rpo_ms or now <= high):
        return None
    reason = f"runs take {say_ms(now)}, before it was {say_ms(usual)} (median of 5 and of {len(base)} runs)"
    if now >= NEARLY * facts.plan.rpo_ms:
        reason += f"; one is expected every {say_ms(facts.plan.rpo_ms)}, so soon they do not end in time"
    return Found(
        reason=reason,
        began_ms=spans[-5][0],
        numbers={"duration_s": now / 1000, "usual_s": usual / 1000},
        evidence=[say_run(one) for one in facts.runs[-5:]],
    )


def schedule_moved(facts: Facts, settings: Settings) -> Found | None:
    """The job runs at another time of day than it used to."""
    if facts.interval_ms() < DAILY_MS:
        return None
    known = [one for one in facts.runs[-25:] if one.began_ms is not None]
    if len(known) < 14:
        return None
    zone = zone_of(facts.plan.zone)
    minutes = []
    for one in known:
        at = datetime.fromtimestamp(begin_of(one) / 1000, zone)
        minutes.append(at.hour * 60 + at.minute)
    first = minutes[0]
    turned = [(one - first + 720) % 1440 - 720 for one in minutes]
    base, recent = turned[:-4], turned[-4:]
    usual, now = median(base), median(recent)
    spread = max(median(abs(one - usual) for one in base), median(abs(one - now) for one in recent))
    moved = abs((now - usual + 720) % 1440 - 720)
    if spread > REGULAR_MIN or moved * 60_000 < settings["by"]:
        return None
    old, new = (usual + first) % 1440, (now + first) % 1440
    return Found(
        reason=f"the last 4 runs began about {_clock(new)}, before it was about {_clock(old)} "
        f"({facts.plan.zone}): "
        "its schedule was changed, or something holds it up",
        began_ms=begin_of(known[-4]),
        numbers={"moved_s": moved * 60.0},
        evidence=[say_run(one) for one in known[-5:]],
    )


def _clock(minutes: float) -> str:
    return f"{int(minutes) // 60:02d}:{int(minutes) % 60:02d}"


def no_longer_reported(facts: Facts, settings: Settings) -> Found | None:
    """Copies appear, and the job no longer says anything where it runs."""
    known = [one for one in facts.runs if is_good(one)]
    last = next((n for n in reversed(range(len(known))) if known[n].by != "repository"), None)
    if last is None or len(known) - 1 - last < int(settings["runs"]):
        return None
    base = known[max(0, last + 1 - BASE) : last + 1]
    told = [one for one in base if one.by != "repository"]
    if len(told) < UNREPORTED_BASE or 2 * len(told) < len(base):
        return None
    # a copy that somebody made by hand is no sign, as long as the job itself is on time
    due_ms = end_of(told[-1]) + facts.plan.rpo_ms + facts.grace_ms
    if facts.now_ms < due_ms:
        facts.wait(due_ms)
        return None
    quiet = [one for one in known if end_of(one) > end_of(told[-1])]
    return Found(
        reason=f"the repository shows {say_copies(facts.plan.tool, len(quiet), 'new')} since "
        f"{say_time(end_of(told[-1]))}, "
        f"and the job has "
        "reported none of them: it no longer runs through `forestall agent job`, or another job makes them",
        began_ms=end_of(quiet[0]),
        numbers={"unreported_count": float(len(quiet))},
        evidence=[say_run(one) for one in known[-4:]],
    )


def tool_too_old(facts: Facts, _: Settings) -> Found | None:
    """The tool is older than what it saves or where it saves to. Fault 20."""
    run = facts.ended[-1] if facts.ended else None
    said = ""
    swallowed = run is not None and any(OLD_WORDS.search(line) for line in error_lines(run))
    if (
        run is not None
        and (run.said in ("failed", "warning") or swallowed)
        and OLD_WORDS.search(said_by(run))
    ):
        said = _line_with(OLD_WORDS, run)
        began, key = end_of(_trailing(facts.ended, (run.said,))[0]), run.run
    elif facts.look is not None and facts.look.why == "tool" and OLD_WORDS.search(facts.look.reason):
        said, began, key = facts.look.reason, facts.look.at_ms, ""
    else:
        return _versions_apart(facts)
    tool = f"{facts.plan.tool} {run.version if run else ''}".strip()
    return Found(
        reason=f"the tool ({tool}) does not fit the version of what it works with: {short(said)}",
        began_ms=began,
        run=key,
        since_run_ms=began if key else None,
        evidence=[say_run(one) for one in facts.ended[-2:]] + (_tail(run) if run else []),
    )


def error_swallowed(facts: Facts, _: Settings) -> Found | None:
    """The run ended with 0 and its output says that something failed: a pipe, or `|| true`. Fault 8."""
    run = facts.last_made
    if run is None or run.said != "success":
        return None
    lines = error_lines(run)
    if not lines:
        return None
    return Found(
        reason=f"the job says success (exit {run.exit_code or 0}), and its output of "
        f"{say_time(end_of(run))} says: "
        f"{short(lines[0])}; an error was swallowed, by a pipe without pipefail or the like",
        began_ms=end_of(run),
        run=run.run,
        copy=run.copy,
        since_run_ms=end_of(run),
        numbers={"errors_count": float(len(lines))},
        evidence=[say_run(run), *lines[:20]],
    )


def error_lines(run: RunReport) -> list[str]:
    """The lines of its output that a program begins when it gives up."""
    return [line.strip() for line in run.output.splitlines() if ERROR_LINE.match(line)]


def _versions_apart(facts: Facts) -> Found | None:
    settings = facts.opened.settings if facts.opened else {}
    server, tool = settings.get("server version", ""), settings.get("dump version", "")
    parts = (
        2 if facts.plan.tool.startswith("mariadb") else 1
    )  # 10.6 and 10.11 are further apart than 15.2, 15.9
    ours, theirs = _numbers(tool)[:parts], _numbers(server)[:parts]
    if not ours or not theirs or facts.opened is None or ours >= theirs:
        return None
    return Found(
        reason=f"the dump tool is version {tool} and the server {server}: an older tool leaves out "
        f"what it does not know",
        began_ms=facts.opened.at_ms,
        numbers={"tool_version": float(ours[0]), "server_version": float(theirs[0])},
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version))


def _line_with(pattern: re.Pattern[str], run: RunReport) -> str:
    lines = [line.strip() for line in said_by(run).splitlines()]
    return next((line for line in lines if pattern.search(line)), run.reason)


def _trailing(runs: Sequence[RunReport], said: Sequence[str]) -> list[RunReport]:
    first = len(runs) - 1
    while first > 0 and runs[first - 1].said in said:
        first -= 1
    return list(runs[first:])


def _tail(run: RunReport) -> list[str]:
    return [line for line in run.output.strip().splitlines()[-10:] if line.strip()]


def days(ms: float) -> float:
    """Milliseconds as days."""
    return ms / DAY_MS
