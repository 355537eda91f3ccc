"""Services of Windows: which should run and do not."""

import re
from typing import Any

import psutil

from forestall.collect.platforms.decoding import as_number, as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 60
SPEC = Spec(
    name="services",
    title="Services",
    about="1 for every service that starts automatically and does not run; 0 for ten minutes once it is well "
    "again. What is set up, as which account.",
    source="Win32_Service; trigger-start services by TriggerInfo in the registry",
    limits="2,000 services. Services that are started by a trigger, and those of Windows that end by "
    "themselves, are not expected to run; delayed ones are given 10 minutes after the start.",
    produces=("service.failed", "services.failed_count"),
)
SERVICES_MAX = 2_000
WELL_AGAIN_S = 600.0
DELAYED_S = 600.0
NEVER_STARTED = 1077  # ERROR_SERVICE_NEVER_STARTED
_ENDS = (  # automatic services of Windows and of updaters that end when they have nothing to do
    "sppsvc gupdate gupdatem edgeupdate edgeupdatem mapsbroker remoteregistry shellhwdetection "
    "tiledatamodelsvc clr_optimization_v4.0.30319_32 clr_optimization_v4.0.30319_64 wbiosrvc "
    "trustedinstaller bits wuauserv cdpsvc dosvc usosvc stisvc iphlpsvc gpsvc wscsvc sysmain brave "
    "bravem dbupdate dbupdatem ccmexec msiserver vss waasmedicsvc tokenbroker webclient "
    "intelaudioservice"
)
ENDS = frozenset(_ENDS.split())
_OF_A_PERSON = re.compile(r"_[0-9a-f]{4,8}$")  # per-user services: the name of each bears a number
_UPDATER = re.compile(r"(?i)^(googleupdater|edgeupdate|brave(update)?|dropboxupdate|mozillamaintenance)")


def look(view: View) -> Reading:
    """Raises as `ask`."""
    rows = ask(view, "services")[:SERVICES_MAX]
    up_s = view.now_ms / 1000 - psutil.boot_time()
    failed = {as_text(row.get("Name")) for row in rows if has_failed(row, up_s=up_s)}
    last: dict[str, float] = view.memory.setdefault(
        "last", dict.fromkeys(view.kept.get("units", []), view.steady_s)
    )
    last.update(dict.fromkeys(failed, view.steady_s))
    for name in [name for name, at_s in last.items() if not 0 <= view.steady_s - at_s < WELL_AGAIN_S]:
        del last[name]
    samples = [view.sample("services.failed_count", len(failed))]
    samples += [view.sample("service.failed", float(name in failed), name) for name in sorted(last)]
    lines = sorted({say(row) for row in rows if not _OF_A_PERSON.search(as_text(row.get("Name")))})
    units = sorted(last)
    return Reading(
        samples,
        snapshots=[view.snapshot("services", "Services", lines)],
        keep={"units": units} if units != view.kept.get("units", []) else None,
    )


def has_failed(row: dict[str, Any], *, up_s: float) -> bool:
    """Whether a service should run and does not. `up_s`: since the machine's start."""
    name = as_text(row.get("Name"))
    if as_text(row.get("StartMode")) != "Auto" or as_text(row.get("State")) not in {"Stopped", "Paused"}:
        return False
    code = int(as_number(row.get("ExitCode")) or 0)
    if as_state(row.get("Triggered")) or name.lower() in ENDS or _UPDATER.match(name):
        return False
    if _OF_A_PERSON.search(name):
        return False
    if as_state(row.get("Delayed")):
        return up_s > DELAYED_S and code not in {0, NEVER_STARTED}
    return up_s > DELAYED_S or code not in {0, NEVER_STARTED}


def say(row: dict[str, Any]) -> str:
    """`Spooler Auto LocalSystem C:\\Windows\\System32\\spoolsv.exe`. Whether it runs is a number, no text."""
    mode = as_text(row.get("StartMode"))
    mode += " delayed" if as_state(row.get("Delayed")) else ""
    mode += " trigger" if as_state(row.get("Triggered")) else ""
    account = as_text(row.get("Account")) or "?"
    return f"{as_text(row.get('Name'))} {mode} {account} {as_text(row.get('Path'))}".rstrip()
