"""What runs by the clock: crontabs and timers."""

import json

from forestall.collect.viewing import NotHere, Reading, View, read_text, run
from forestall.kernel.plugins import Spec

EVERY_S = 60
SPEC = Spec(
    name="schedules",
    title="Crontabs and timers",
    about="System and personal crontabs, and the timers of systemd with what they start.",
    source="crontab(5), systemctl(1) list-timers",
)
CRONTABS = ("etc/crontab", "etc/cron.d/*", "var/spool/cron/crontabs/*", "var/spool/cron/*")


def look(view: View) -> Reading:
    """Two snapshots; the times at which timers last ran are left out, they always change."""
    lines: list[str] = []
    problem = ""
    for pattern in CRONTABS:
        for path in sorted(view.root.glob(pattern)):
            if not path.is_file():
                continue
            lines.append(f"# {path.relative_to(view.root)}")
            try:
                lines += [
                    line.rstrip() for line in read_text(path).splitlines() if line.strip() and line[0] != "#"
                ]
            except OSError as error:
                problem = f"{path} is not readable for the agent: {error.strerror}"
    for folder in ("hourly", "daily", "weekly", "monthly"):
        names = sorted(
            path.name for path in (view.root / f"etc/cron.{folder}").glob("*") if path.name[0] != "."
        )
        lines += [f"cron.{folder}: {name}" for name in names]
    if not lines and not problem and not (view.root / "etc/passwd").exists():
        raise NotHere("this machine has no crontabs")
    snapshots = [view.snapshot("crontabs", "Crontabs", lines, problem=problem)]
    if (view.root / "run/systemd/system").is_dir():
        try:
            timers = json.loads(
                run(["systemctl", "list-timers", "--all", "--output=json", "--no-pager"]) or "[]"
            )
            rows = sorted(f"{timer['unit']} starts {timer['activates']}" for timer in timers)
            snapshots.append(view.snapshot("timers", "Timers", rows, names=True))
        except (NotHere, OSError, ValueError, KeyError) as error:
            snapshots.append(view.snapshot("timers", "Timers", [], problem=str(error)))
    return Reading(snapshots=snapshots)
