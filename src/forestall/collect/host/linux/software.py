"""What is installed and what is started: packages and enabled services."""

import json

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.observations import Snapshot
from forestall.kernel.plugins import Spec

EVERY_S = 60
SPEC = Spec(
    name="software",
    title="Packages and services",
    about="Installed packages with their versions; which services are enabled, and of these which run.",
    source="dpkg-query(1), rpm(8), systemctl(1) list-unit-files and list-units",
)
PACKAGES = (
    ["dpkg-query", "-W", "-f=${Package} ${Version} ${Architecture} ${db:Status-Status}\n"],
    ["rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{ARCH} installed\n"],
)
PACKAGE_DATA = ("var/lib/dpkg/status", "var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite")


def look(view: View) -> Reading:
    """Packages by dpkg or rpm; services by systemd where there is one."""
    snapshots = []
    stamp = [
        (name, (view.root / name).stat().st_mtime_ns) for name in PACKAGE_DATA if (view.root / name).exists()
    ]
    if view.memory.get("stamp") != stamp or not stamp:
        view.memory["rows"] = _packages()
        view.memory["stamp"] = stamp
    if view.memory["rows"]:
        snapshots.append(view.snapshot("packages", "Packages", view.memory["rows"], names=True))
    if (view.root / "run/systemd/system").is_dir():
        snapshots.append(_services(view))
    return Reading(snapshots=snapshots)


def _packages() -> list[str]:
    for command in PACKAGES:
        try:
            return sorted(run(command).splitlines())
        except NotHere:
            continue
    return []


def _services(view: View) -> Snapshot:
    """Only enabled services say whether they run: others come and go as they are needed."""
    kind = ["--type=service", "--output=json", "--no-pager"]
    files = json.loads(run(["systemctl", "list-unit-files", *kind]) or "[]")
    units = json.loads(run(["systemctl", "list-units", "--state=running", *kind]) or "[]")
    running = {unit["unit"] for unit in units}
    rows = [
        f"{file['unit_file']} {file['state']}"
        + (" running" if file["state"] == "enabled" and file["unit_file"] in running else "")
        for file in files
    ]
    return view.snapshot("services", "Services", sorted(rows), names=True)
