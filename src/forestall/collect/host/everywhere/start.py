"""When this machine was started: a restart is a change, with who was signed in just before it."""

from datetime import UTC, datetime

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import Snapshot
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="start",
    title="Start of the machine",
    about="When the machine was started, to the minute; after a restart, who was signed in before it.",
    source="random(4) boot_id; psutil.boot_time",
    limits="Elsewhere than on Linux a restart is known by the time of the start, which a clock that is set "
    "moves: less than five minutes are no restart. Who signed in and restarted within 30 s is not seen.",
)
BOOT_ID = "proc/sys/kernel/random/boot_id"
SAME_S = 300.0


def look(view: View) -> Reading:
    """One snapshot. `kept`: the start that is known, and who was signed in at the last look."""
    boot_id, boot_s = _boot_id(view), psutil.boot_time()
    kept = view.kept
    if _is_same(kept, boot_id, boot_s):
        boot_s = kept["boot_s"]
        # the look after a restart has said who was there before; from then on it is who is there now
        before, now = kept["before"], view.signed_in()
        place = kept | {"now": now}
    else:
        before, now = kept.get("now", []), view.signed_in()
        place = {"boot_id": boot_id, "boot_s": boot_s, "before": before, "now": now}
    started = datetime.fromtimestamp(boot_s, UTC)
    snapshot = Snapshot(
        at_ms=view.now_ms,
        kind="started",
        title="Start",
        text=f"started at {started:%Y-%m-%d %H:%M} UTC\n",
        signed_in=before,
    )
    return Reading(snapshots=[snapshot], keep=place if place != kept else None)


def _boot_id(view: View) -> str:
    try:
        return (view.root / BOOT_ID).read_text().strip()
    except OSError:
        return ""


def _is_same(kept: dict[str, object], boot_id: str, boot_s: float) -> bool:
    if not kept:
        return False
    if boot_id or kept["boot_id"]:
        return boot_id == kept["boot_id"]
    return abs(float(str(kept["boot_s"])) - boot_s) < SAME_S
