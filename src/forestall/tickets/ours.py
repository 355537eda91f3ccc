"""Who did it: whether a change or a restart is accounted for by one of us. Pure: decided from what happened,
our logins, windows, effort and actions; times come with them.

What nobody of ours accounts for before a client's first word is a self-repair: somebody there tried first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

AROUND = timedelta(minutes=15)  # a technician's timer and the capture of what they did are not to the second
PEOPLE_MAX = 3
SAID_MAX = 5
BY_ITSELF = frozenset(  # what automatic updates and programs change while nobody is there
    (
        "packages",
        "updates",
        "services",
        "ports",
        "mounts",
        "timers",
        "scheduled_tasks",
        "startup",
        "antivirus",
    )
)
RESTART = "started"  # the kind of configuration that says when a machine started


@dataclass(frozen=True, slots=True)
class Happened:
    """A change: it happened after `after_at` and before `at`. `who` was signed in, as the capture says it
    (`anna from 10.0.0.7 since …`); `named` is who made it, as the device's own log says."""

    id: str
    asset: str
    name: str
    kind: str
    title: str
    after_at: datetime
    at: datetime
    who: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which something of ours went on, on one asset or (`asset` "") on all of them."""

    begins_at: datetime
    ends_at: datetime
    says: str
    asset: str = ""


@dataclass(frozen=True, slots=True)
class Ours:
    """What we did at a client: logins in small letters, maintenance windows, effort, actions here."""

    logins: frozenset[str] = frozenset()
    windows: Sequence[Span] = field(default=())
    work: Sequence[Span] = field(default=())


def decide_account(happened: Happened, ours: Ours) -> str:
    """Which of us, or what goes on by itself, accounts for it, in words; "" when nobody of ours does."""
    for window in ours.windows:
        if _meets(window, happened, around=timedelta()):
            return f"in the maintenance window {window.says}"
    for people, did in ((happened.named, "made it"), (happened.who, "was signed in")):
        mine = [login for login in map(login_of, people) if login in ours.logins]
        if mine:
            return f"{mine[0]} {did}, who is ours"
    if not happened.who and not happened.named and happened.kind in BY_ITSELF:
        return "nobody was signed in, and it changes by itself, as with updates"
    for span in ours.work:
        if _meets(span, happened, around=AROUND):
            return span.says
    return ""


def _meets(span: Span, happened: Happened, *, around: timedelta) -> bool:
    if span.asset and span.asset != happened.asset:
        return False
    return span.begins_at - around <= happened.at and happened.after_at <= span.ends_at + around


def login_of(signed_in: str) -> str:
    """The account of `BAKERY\\anna from 10.0.0.7 since …`: `anna`."""
    first = signed_in.strip().partition(" ")[0]
    return first.rpartition("\\")[2].partition("@")[0].lower()


def say_before(happened: Sequence[Happened], zone: tzinfo, *, many: bool = False) -> str:
    """What nobody of ours accounts for, oldest first, as one sentence; "" for nothing. `many`: of several
    assets, so that each is named."""
    if not happened:
        return ""
    told = sorted(happened, key=lambda one: (one.at, one.id))
    parts = [_say(one, zone, named=many) for one in told[-SAID_MAX:]]
    left_out = f"{len(told) - SAID_MAX} more, then " if len(told) > SAID_MAX else ""
    return f"Before this ticket: {left_out}{', '.join(parts)}; nobody of ours was working on it."


def _say(one: Happened, zone: tzinfo, *, named: bool) -> str:
    at = one.at.astimezone(zone)
    where = f" on {one.name}" if named else ""
    said = one.named or one.who
    people = list(dict.fromkeys(filter(None, (text.partition(" ")[0] for text in said))))
    more = f" and {len(people) - PEOPLE_MAX} more" if len(people) > PEOPLE_MAX else ""
    if one.kind == RESTART:
        what = f"{one.name} restarted" if named else "the machine restarted"
        who = f" with {', '.join(people[:PEOPLE_MAX])}{more} signed in" if people else ""
        return f"{what} at {at:%H:%M}{who}"
    how = "" if one.named else " (signed in)"
    who = f" by {', '.join(people[:PEOPLE_MAX])}{more}{how}" if people else ""
    return f"{one.title}{where} changed at {at:%H:%M}{who}"
