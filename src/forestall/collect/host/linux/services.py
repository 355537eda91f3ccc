"""Services of systemd: which have failed."""

import json

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 10
SPEC = Spec(
    name="services",
    title="Services",
    about="1 for every unit that has failed; 0 for ten minutes once it is well again.",
    source="systemctl(1) list-units",
    limits="500 units; nothing on a machine without systemd.",
    produces=("service.failed", "services.failed_count"),
)
UNITS_MAX = 500
WELL_AGAIN_S = 600.0


def look(view: View) -> Reading:
    """Failed units, and those that had failed: their 0 must arrive, so it is said more than once."""
    if not (view.root / "run/systemd/system").is_dir():
        raise NotHere("this machine does not run systemd")
    answer = run(["systemctl", "list-units", "--state=failed", "--all", "--output=json", "--no-pager"])
    failed = {str(unit["unit"]) for unit in json.loads(answer or "[]")[:UNITS_MAX]}
    last: dict[str, float] = view.memory.setdefault(
        "last", dict.fromkeys(view.kept.get("units", []), view.steady_s)
    )
    last.update(dict.fromkeys(failed, view.steady_s))
    for unit in [unit for unit, at_s in last.items() if not 0 <= view.steady_s - at_s < WELL_AGAIN_S]:
        del last[unit]
    samples = [view.sample("services.failed_count", len(failed))]
    samples += [view.sample("service.failed", float(unit in failed), unit) for unit in sorted(last)]
    units = sorted(last)  # remembered: a unit may become well while the agent is away
    return Reading(samples, keep={"units": units} if units != view.kept.get("units", []) else None)
