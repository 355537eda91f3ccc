"""Updates of Windows: which wait, which are installed, how long ago the last was."""

from forestall.collect.platforms.decoding import as_list, as_text, date_ms
from forestall.collect.platforms.windows import LONG_ASK_S, ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 6 * 3600
SPEC = Spec(
    name="updates",
    title="Updates",
    about="How many updates wait, how many of these are for security; what is installed, and the days since.",
    source="Windows Update Agent API (IUpdateSearcher without going online), Win32_QuickFixEngineering",
    limits="As fresh as the machine's own last search. Definitions of Defender and drivers do not count.",
    produces=("updates.pending_count", "updates.security_count", "updates.since_last_days"),
)
SECURITY = "0fa1201d-4330-4fa8-8ae9-b877473b6441"
CRITICAL = "e6cf1350-c01b-414d-a61f-263d14d133b4"
DEFINITIONS = "e0789628-ce08-4437-be74-2495b842f43b"
DRIVER = "2"
DAY_MS = 86_400_000


def look(view: View) -> Reading:
    """Raises as `ask`."""
    reading = Reading()
    try:
        waiting = ask(view, "updates", timeout_s=LONG_ASK_S)
    except NotHere:
        waiting = None
    if waiting is not None:
        kinds = [{as_text(one).lower() for one in as_list(row.get("Categories"))} for row in waiting
                 if as_text(row.get("Type")) != DRIVER]  # fmt: skip
        counted = [kind for kind in kinds if DEFINITIONS not in kind]
        security = [kind for kind in counted if kind & {SECURITY, CRITICAL}]
        reading.samples += [
            view.sample("updates.pending_count", len(counted)),
            view.sample("updates.security_count", len(security)),
        ]
    installed = ask(view, "installed-updates")
    lines = sorted({f"{as_text(row.get('Id'))} {as_text(row.get('What'))}".strip() for row in installed})
    reading.snapshots.append(view.snapshot("updates", "Installed updates", lines, names=True))
    newest = max((at for row in installed if (at := date_ms(row.get("On"))) is not None), default=None)
    if newest is not None:
        reading.samples.append(
            view.sample("updates.since_last_days", max(0.0, (view.now_ms - newest) / DAY_MS))
        )
    return reading
