"""What is installed and what is started: packages and enabled services."""

import json

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 120
SPEC = Spec(
    name="software",
    title="Packages and services",
    about="Installed packages with their versions; which services are enabled.",
    source="dpkg-query(1), rpm(8), systemctl(1) list-unit-files",
)


def look(view: View) -> Reading:
    """Packages by dpkg or rpm; services by systemd where there is one."""
    snapshots = []
    try:
        rows = run(
            ["dpkg-query", "-W", "-f=${Package} ${Version} ${Architecture} ${db:Status-Status}\n"]
        ).splitlines()
    except NotHere:
        try:
            rows = run(
                ["rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{ARCH} installed\n"]
            ).splitlines()
        except NotHere:
            rows = []
    if rows:
        snapshots.append(view.snapshot("packages", "Packages", sorted(rows)))
    if (view.root / "run/systemd/system").is_dir():
        answer = run(["systemctl", "list-unit-files", "--type=service", "--output=json", "--no-pager"])
        units = sorted(f"{unit['unit_file']} {unit['state']}" for unit in json.loads(answer or "[]"))
        snapshots.append(view.snapshot("services", "Services", units))
    return Reading(snapshots=snapshots)
