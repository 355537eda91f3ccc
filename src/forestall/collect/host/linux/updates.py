"""Updates that wait."""

import re
from pathlib import Path

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 6 * 3600
SPEC = Spec(
    name="updates",
    title="Pending updates",
    about="How many packages have an update, and how many of these are for security.",
    source="apt-get(8) --simulate dist-upgrade, dnf(8) updateinfo",
    limits="As fresh as the machine's own package lists, which are not renewed by the agent; nothing when "
    "there are none.",
    produces=("updates.pending_count", "updates.security_count"),
)
ANSWER_S = 120.0


def look(view: View) -> Reading:
    """By apt, else by dnf; raises NotHere with neither, or without package lists."""
    if (view.root / "var/lib/dpkg/status").exists():
        waiting, security = _of_apt(view.root)
    else:
        waiting, security = _of_dnf()
    return Reading(
        [view.sample("updates.pending_count", waiting), view.sample("updates.security_count", security)]
    )


def _of_apt(root: Path) -> tuple[int, int]:
    if not any((root / "var/lib/apt/lists").glob("*_Packages*")):
        raise NotHere("there are no package lists: nothing is known of updates until apt-get update has run")
    return count_apt(run(["apt-get", "--simulate", "--quiet", "dist-upgrade"], timeout_s=ANSWER_S))


def count_apt(answer: str) -> tuple[int, int]:
    """Updates, and those for security, of a simulated upgrade. Packages that would be new do not count."""
    lines = re.findall(r"(?m)^Inst \S+ \[[^\]]+\] \(.*\)", answer)
    return len(lines), sum(bool(re.search(r"[-/:]security", line, re.IGNORECASE)) for line in lines)


def _of_dnf() -> tuple[int, int]:
    waiting = run(
        ["dnf", "--quiet", "--cacheonly", "check-update"], timeout_s=ANSWER_S, statuses=(0, 100)
    ).partition("\nObsoleting")[0]
    security = run(
        ["dnf", "--quiet", "--cacheonly", "updateinfo", "list", "--updates", "--security"], timeout_s=ANSWER_S
    )
    return (
        sum(len(line.split()) == 3 for line in waiting.splitlines()),
        len({line.split()[-1] for line in security.splitlines() if len(line.split()) == 3}),
    )
