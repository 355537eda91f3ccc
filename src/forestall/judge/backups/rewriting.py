"""Checks for what rewrites a source: ransomware, a migration, an encryption that takes its time. Fault 10.

Everyday work changes a small share of the files and adds about as much; an upload adds much and brings new
files. An encryption changes or replaces files that were there, adds about as much as they hold, and leaves
noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from forestall.judge.backups.facts import BASE_LEAST, Facts, Found
from forestall.judge.backups.putting import end_of
from forestall.judge.backups.words import listed, say_files, say_run, say_time
from forestall.kernel.backups import RunReport
from forestall.kernel.words import say_bytes, say_share

Settings = Mapping[str, float]
EVENTS_BACK = 60  # runs that are searched
BASE = 40  # runs before, that say what is usual
RANDOM = 7.5  # bits per byte: compressed or encrypted
PLAINER = 0.5  # by how much less the usual entropy must be, for a rise to say something
BLANK = 0.1  # bits per byte: one byte over and over
LEAST = 0.05  # of the files; less is everyday work
UNUSUAL_TIMES = 3.0
UNUSUAL_MORE = 0.02
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A run that rewrote much. Shares: of the bytes that were added, of the files that were changed or
    replaced, renamed, and are more than before (`fresh`); `usual…` None: not known."""

    run: RunReport
    added: float
    changed: float
    renamed: float
    fresh: float
    usual_added: float | None
    usual_changed: float
    usual_entropy: float | None

    @property
    def unusual(self) -> bool:
        """Whether far more was added than in nine of ten runs."""
        return self.usual_added is not None and self.added > _beyond(self.usual_added)

    @property
    def noise(self) -> bool:
        """Whether it looks like an encryption: noise where there was none, or new names for all that was
        added. What new files bring by themselves (an upload) is none."""
        entropy = self.run.entropy
        if not self.unusual:
            return False
        if entropy is not None and entropy < RANDOM:
            return False
        if entropy is None or self.usual_entropy is None:
            return self.changed >= HALF and self.added >= HALF
        rises = entropy - self.usual_entropy >= PLAINER
        many = self.changed >= max(LEAST, _beyond(self.usual_changed), 2 * self.fresh)
        renamed = self.renamed >= max(LEAST, 2 * self.fresh) and self.added >= self.renamed / 2
        return (rises and many) or renamed


def encrypted(facts: Facts, settings: Settings) -> Found | None:
    """The source was rewritten as noise, or renamed and rewritten: ransomware."""
    known = next((one for one in _rewritings(facts) if one.noise), None)
    return _say(facts, known, "the source looks encrypted (ransomware)") if known else None


def rewritten(facts: Facts, settings: Settings) -> Found | None:
    """Nearly everything was rewritten at once, without the signs of encryption."""
    share = settings["share"]
    for one in _rewritings(facts):
        if one.unusual and not one.noise and one.added >= share and one.changed >= share:
            return _say(facts, one, "nearly everything at the source was rewritten at once")
    return _blanked(facts, share)


def _blanked(facts: Facts, share: float) -> Found | None:
    """Most files were changed at once, and what they hold now is one byte over and over: a wiper, or a disk
    that gives nothing back. It packs to nothing, so nothing shows in what was added."""
    made = facts.made
    for place in range(len(made) - 1, max(0, len(made) - EVENTS_BACK), -1):
        run, before = made[place], made[place - 1]
        if run.entropy is None or run.entropy > BLANK or not before.files or not run.added:
            continue
        changed = changed_share(run, before)
        base = made[max(0, place - BASE) : place]
        usual = _high([changed_share(one, old) for old, one in pairwise(base) if old.files] or [0.0])
        if changed < share or changed <= _beyond(usual):
            continue
        return Found(
            reason=f"nearly everything at the source was blanked at once: in the run of "
            f"{say_time(end_of(run))} {say_share(min(1.0, changed))} of the files changed (usually at most "
            f"{say_share(usual)}), and what was changed is one byte over and over ({run.entropy:.1f} bits a "
            "byte)",
            began_ms=end_of(run),
            run=run.run,
            copy=run.copy,
            since_run_ms=end_of(run),
            numbers={"changed_ratio": changed, "usual_ratio": usual, "entropy": run.entropy},
            evidence=[say_run(one) for one in made[max(0, place - 2) : place + 1]],
        )
    return None


def _rewritings(facts: Facts) -> list[Rewriting]:
    return facts.memo("rewritings", lambda: _find(facts.made))


def _find(made: Sequence[RunReport]) -> list[Rewriting]:
    """Runs that added and changed more than everyday work does, the newest first."""
    found = []
    for place in range(len(made) - 1, max(0, len(made) - EVENTS_BACK), -1):
        run, before = made[place], made[place - 1]
        if run.added is None or not run.size or run.files is None or not before.files:
            continue
        added = run.added / run.size
        if added < LEAST / 2 or run.size < HALF * (before.size or 0):
            continue  # everyday work; or a share of what is hardly there: that it shrank is told
        changed, renamed = changed_share(run, before), (run.renamed or 0) / before.files
        if max(changed, renamed) >= LEAST:
            fresh = max(0.0, (run.files - before.files) / before.files)
            found.append(
                _measured(
                    made[max(0, place - BASE) : place],
                    run,
                    added,
                    changed=changed,
                    renamed=renamed,
                    fresh=fresh,
                )
            )
    return found


def _measured(
    base: Sequence[RunReport], run: RunReport, added: float, *, changed: float, renamed: float, fresh: float
) -> Rewriting:
    ratios = [one.added / one.size for one in base if one.added is not None and one.size]
    shares = [changed_share(one, before) for before, one in pairwise(base) if before.files]
    plain = [one.entropy for one in base if one.entropy is not None]
    return Rewriting(
        run,
        added,
        changed,
        renamed,
        fresh,
        usual_added=_high(ratios) if len(ratios) >= BASE_LEAST else None,
        usual_changed=_high(shares) if shares else 0.0,
        usual_entropy=median(plain) if len(plain) >= BASE_LEAST else None,
    )


def changed_share(run: RunReport, before: RunReport) -> float:
    """The share of the files of before that were changed, or replaced by new ones under other names."""
    known = before.files or 1
    replaced = 0
    if run.files_new is not None and run.files is not None:
        removed = run.files_removed
        if removed is None:
            removed = max(0, known + run.files_new - run.files)
        replaced = min(run.files_new, removed)
    return ((run.files_changed or 0) + replaced) / known


def _high(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) * 9 // 10]


def _beyond(high: float) -> float:
    return UNUSUAL_TIMES * high + UNUSUAL_MORE


def _say(facts: Facts, one: Rewriting, what: str) -> Found:
    run = one.run
    words = [f"{say_share(min(1.0, one.changed))} of the files were changed or replaced"]
    if run.renamed:
        words.append(f"{say_files(run.renamed)} renamed or with another ending")
    numbers = {"added_ratio": one.added, "usual_ratio": one.usual_added or 0.0, "changed_ratio": one.changed}
    if run.entropy is not None:
        looks = "looks like noise" if run.entropy >= RANDOM else "does not look like noise"
        usual = f", usually {one.usual_entropy:.1f}" if one.usual_entropy is not None else ""
        words.append(f"what was changed {looks} ({run.entropy:.1f} bits a byte{usual})")
        numbers["entropy"] = run.entropy
    return Found(
        reason=f"{what}: the run of {say_time(end_of(run))} added {say_bytes(run.added or 0)} of "
        f"{say_bytes(run.size or 0)} ({say_share(one.added)}, usually at most "
        f"{say_share(one.usual_added or 0)}); "
        f"{listed(words)}",
        began_ms=end_of(run),
        run=run.run,
        copy=run.copy,
        since_run_ms=end_of(run),
        numbers=numbers,
        evidence=[say_run(one) for one in facts.made[-4:]],
    )


def entropy_up(facts: Facts, settings: Settings) -> Found | None:
    """What changes looks like noise in one run after the other, and did not before: a slow encryption."""
    count = int(settings["runs"])
    known = [one for one in facts.made[-60:] if one.entropy is not None]
    recent, base = known[-count:], known[:-count]
    if len(base) < 10 or len(recent) < count:
        return None
    high = sorted(one.entropy or 0.0 for one in base)[(len(base) - 1) * 9 // 10]
    least = min(one.entropy or 0.0 for one in recent)
    touched = all((one.files_changed or 0) > 0 for one in recent)
    if not touched or least < RANDOM or least - high < PLAINER:
        return None
    return Found(
        reason=f"in the last {count} runs what was changed looks like noise (at least {least:.1f} "
        f"bits a byte, before "
        f"at most {high:.1f}): files are being encrypted or compressed little by little",
        began_ms=end_of(recent[0]),
        run=recent[-1].run,
        numbers={"entropy": least, "usual_entropy": high},
        evidence=[say_run(one) for one in recent],
    )
