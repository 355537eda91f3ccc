"""Whether Windows waits for a restart to put updates into force."""

from forestall.collect.platforms.decoding import as_state
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 900
SPEC = Spec(
    name="restart",
    title="Restart due",
    about="1 when component servicing or Windows Update waits for a restart.",
    source="RebootPending of Component Based Servicing, RebootRequired of Windows Update in the registry",
    limits="File renames that wait for a restart are not counted: many programs leave some behind for ever.",
    produces=("updates.reboot_required",),
)


def look(view: View) -> Reading:
    """Raises as `ask`."""
    rows = ask(view, "restart")
    if not rows:
        raise NotHere("this machine does not say whether a restart is due")
    due = any(as_state(rows[0].get(name)) for name in ("Servicing", "Update"))
    return Reading([view.sample("updates.reboot_required", float(due))])
