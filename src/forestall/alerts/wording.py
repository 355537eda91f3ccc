"""What people read: titles, reasons, mails. Short, plain, with the numbers and what to do first. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from forestall.alerts.values import REACHABILITY, Group, Message, Place, Quiet, Wrong
from forestall.judge.values import State
from forestall.kernel.words import say_duration, say_list

TITLE_MAX_CHARS = 160
SUBJECT_MAX_CHARS = 180
LINES_MOST = 12
DIGEST_MOST = 100

SAY_STATE = {
    State.DRIFTING: "drifting",
    State.SILENT: "silent",
    State.OUT_OF_SPEC: "out of spec",
    State.BREAKING: "breaking",
}
SAY_STEP = {
    "opened": "",
    "worse": "worse: ",
    "cause": "cause found: ",
    "more": "also: ",
    "repeat": "still: ",
    "recovered": "recovered: ",
}


def alert_title(group: Group, places: Mapping[str, Place]) -> str:
    """One line: what is wrong where."""
    root = _name(group.root, places)
    away = next((f for f in group.findings if f.asset == group.root and f.cause == REACHABILITY), None)
    behind = sorted({f.asset for f in group.findings} - {group.root})
    if away is not None:
        more = f" (and {_count(behind, 'thing')} behind it)" if behind else ""
        return _cut(f"{root}: {_first_sentence(away.reason)}", TITLE_MAX_CHARS - len(more)) + more
    if len(behind) > 1:
        return _cut(f"Shared cause: {_count(behind, 'thing')} behind {root}", TITLE_MAX_CHARS)
    worst = _worst_first(group.findings)[0]
    more = f" (and {_count(group.findings[1:], 'more finding')})" if len(group.findings) > 1 else ""
    title = f"{_name(worst.asset, places)}: {_first_sentence(worst.reason)}"
    return _cut(title, TITLE_MAX_CHARS - len(more)) + more


def alert_reason(group: Group, places: Mapping[str, Place]) -> str:
    """Why there is an alert: the findings, worst first, and why they are one."""
    lines = []
    behind = sorted({_name(f.asset, places) for f in group.findings if f.asset != group.root})
    root = _name(group.root, places)
    if len({f.asset for f in group.findings}) > 1:
        named = say_list(behind, 5)
        if any(f.asset == group.root and f.cause == REACHABILITY for f in group.findings):
            lines.append(f"One alert, because {root} is away and {named} hang on it.")
        else:
            lines.append(
                f"One alert, because {named} hang on {root} and failed together: look at {root} first."
            )
    shown = _worst_first(group.findings)[:LINES_MOST]
    several = len({f.asset for f in group.findings}) > 1
    for finding in shown:
        where = f"{_name(finding.asset, places)}: " if several else ""
        lines.append(f"{where}{finding.reason}")
    if len(group.findings) > len(shown):
        lines.append(f"… and {len(group.findings) - len(shown)} more.")
    return "\n".join(lines)


def flapping(occurrence: int, since: datetime, wait: timedelta) -> str:
    """Why a return is not told like something new."""
    told = f"told when it lasts {say_duration(wait.total_seconds())}" if wait else "told at once this time"
    return (
        f"It comes and goes: this is occurrence {occurrence} since {say_time(since)},"
        f" counted on the same alert and {told}."
    )


def window_on(window: Quiet) -> str:
    """Why nobody is told at the moment."""
    return f"maintenance “{window.title}” until {say_time(window.ends_at)}"[:300]


def window_over(because: str) -> str:
    """Why it is told only now."""
    return f"Nobody was told before because of {because}. That is over, and this is still wrong."


def say_time(at: datetime) -> str:
    """An instant as mails show it: `2026-03-05 14:07 UTC`."""
    return at.strftime("%Y-%m-%d %H:%M UTC")


def subject_of(step: str, severity: State, title: str, client: str) -> str:
    """The subject of a mail: the same words for the same alert, so that people recognise it."""
    mark = "recovered" if step == "recovered" else SAY_STATE[severity]
    lead = "" if step == "recovered" else SAY_STEP.get(step, "")
    return _cut(_one_line(f"[{mark}] {lead}{title} · {client}"), SUBJECT_MAX_CHARS)


def text_of(message: Message, *, opening: str, findings: Sequence[str] = ()) -> str:
    """The body of a mail: what, why, what to do first, where to look."""
    lines = [opening, "", message.reason]
    lines += [f"- {finding}" for finding in findings[:LINES_MOST]]
    if message.first_step and message.step != "recovered":
        lines += ["", f"Do first: {message.first_step}"]
    lines += ["", f"Client: {message.client}", f"Asset: {message.asset}"]
    if message.url:
        lines.append(f"Open: {message.url}")
    if message.evidence:
        lines.append(f"Evidence (sealed before this was sent): {', '.join(message.evidence[:5])}")
    return "\n".join(lines) + "\n"


def opening_of(step: str, *, began_at: datetime, now: datetime, acknowledged: bool, repeats: int = 0) -> str:
    """The first line of a mail."""
    lasted = say_duration(max((now - began_at).total_seconds(), 0))
    match step:
        case "worse":
            return f"This got worse. It began {lasted} ago, {say_time(began_at)}."
        case "cause":
            return "What you were told about has a larger cause. It is still one alert."
        case "more":
            return "Something more is wrong here. It is counted on the alert that you know."
        case "repeat":
            return (
                f"Still breaking after {lasted}, and nobody has acknowledged it"
                f" (reminder {repeats}). Acknowledge it to stop these reminders."
            )
        case "recovered":
            by = "" if acknowledged else " Nobody had acknowledged it."
            return f"Recovered at {say_time(now)} after {lasted}.{by}"
    return f"Since {say_time(began_at)}."


def digest_text(lines: Sequence[str], *, since: datetime) -> str:
    """What came and went while a channel could not be reached."""
    shown = list(lines[:DIGEST_MOST])
    if len(lines) > len(shown):
        shown.append(f"… and {len(lines) - len(shown)} more; see the ledger in the console.")
    head = f"These could not be sent since {say_time(since)} and are over by now."
    return "\n".join([head, "", *(f"- {line}" for line in shown)]) + "\n"


def _worst_first(findings: Sequence[Wrong]) -> list[Wrong]:
    return sorted(findings, key=lambda f: (-f.state.concern, f.opened_at, f.id))


def _name(asset: str, places: Mapping[str, Place]) -> str:
    place = places.get(asset)
    return place.name if place else asset


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _first_sentence(text: str) -> str:
    line = _one_line(text)
    end = line.find(". ")
    return (line if end < 0 else line[:end]).rstrip(".")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
