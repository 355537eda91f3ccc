"""What Windows starts by itself at set times: scheduled tasks that are not Microsoft's own."""

from typing import Any

from forestall.collect.platforms.decoding import as_list, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="schedules",
    title="Scheduled tasks",
    about="Tasks outside \\Microsoft\\: what they start, as whom, when, whether they are enabled.",
    source="Get-ScheduledTask, MSFT_ScheduledTask",
    limits="Secrets on a task's command line are masked.",
)
DISABLED = frozenset(("1", "Disabled"))  # 2 queued, 3 ready, 4 running: these are no change


def look(view: View) -> Reading:
    """One snapshot. Raises as `ask`."""
    lines = sorted(line for row in ask(view, "tasks") for line in _say(row))
    return Reading(snapshots=[view.snapshot("scheduled_tasks", "Scheduled tasks", lines)])


def _say(row: dict[str, Any]) -> list[str]:
    name = as_text(row.get("Path")) + as_text(row.get("Name"))
    who = as_text(row.get("User")) or as_text(row.get("Group")) or "?"
    high = " highest" if as_text(row.get("Level")) in {"1", "Highest"} else ""
    state = "disabled" if as_text(row.get("State")) in DISABLED else "enabled"
    triggers = [as_text(one).removeprefix("MSFT_Task") for one in as_list(row.get("Triggers"))]
    return [
        f"{name} {state} as {who}{high}",
        *(f"{name} starts {as_text(action)}" for action in as_list(row.get("Actions"))),
        *(f"{name} when {when}" for when in sorted(triggers)),
    ]
