"""Updates that wait, and whether a restart is due."""

import re

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 6 * 3600
SPEC = Spec(
    name="updates",
    title="Pending updates",
    about="How many packages have an update, how many of these are for security, whether a restart is due.",
    source="apt-get(8) --simulate, dnf(8) check-update; Debian policy: /run/reboot-required",
    limits="As fresh as the machine's own package lists, which are not renewed by the agent.",
    produces=("updates.pending_count", "updates.security_count", "updates.reboot_required"),
)
ANSWER_S = 120.0


def look(view: View) -> Reading:
    """By apt, else by dnf; raises NotHere with neither."""
    samples = [view.sample("updates.reboot_required", float((view.root / "run/reboot-required").exists()))]
    try:
        answer = run(["apt-get", "--simulate", "--quiet", "upgrade"], timeout_s=ANSWER_S)
        waiting = re.findall(r"(?m)^Inst \S+.*$", answer)
        security = [line for line in waiting if re.search(r"[-/:]security", line, re.IGNORECASE)]
    except NotHere:
        answer = run(["dnf", "--quiet", "--cacheonly", "updateinfo", "list", "--updates"], timeout_s=ANSWER_S)
        waiting = answer.splitlines()
        security = [line for line in waiting if "Sec." in line or "security" in line]
    samples += [
        view.sample("updates.pending_count", len(waiting)),
        view.sample("updates.security_count", len(security)),
    ]
    return Reading(samples)
