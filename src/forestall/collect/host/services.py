"""Services of systemd: which have failed."""

import json

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 15
SPEC = Spec(
    name="services",
    title="Services",
    about="1 for every unit that has failed; 0 once it is well again.",
    source="systemctl(1) list-units",
    limits="Nothing on a machine without systemd.",
    produces=("service.failed", "services.failed_count"),
)
UNITS_MAX = 500


def look(view: View) -> Reading:
    """Failed units, and those that were failed at the last look."""
    if not (view.root / "run/systemd/system").is_dir():
        raise NotHere("this machine does not run systemd")
    answer = run(["systemctl", "list-units", "--state=failed", "--output=json", "--no-pager"])
    failed = {str(unit["unit"]) for unit in json.loads(answer or "[]")[:UNITS_MAX]}
    before: set[str] = view.memory.get("failed", set())
    view.memory["failed"] = failed
    samples = [view.sample("services.failed_count", len(failed))]
    samples += [
        view.sample("service.failed", float(unit in failed), unit) for unit in sorted(failed | before)
    ]
    return Reading(samples)
