"""CPU and load. Source: Linux proc_stat(5) through psutil."""

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 10
RATES = True
SPEC = Spec(
    name="processor",
    title="CPU and load",
    about="How busy the processors are, waiting and stolen time included; load per core.",
    source="proc_stat(5), proc_loadavg(5)",
    produces=("cpu.used_ratio", "cpu.steal_ratio", "cpu.iowait_ratio", "load.per_core"),
)


def look(view: View) -> Reading:
    """Shares since the last look; the first look has the load alone."""
    times = psutil.cpu_times()
    samples = [view.sample("load.per_core", psutil.getloadavg()[0] / (psutil.cpu_count() or 1))]
    total = sum(getattr(times, name) for name in times._fields if not name.startswith("guest"))
    now = {
        "total": total,
        "idle": times.idle + getattr(times, "iowait", 0.0),
        "iowait": getattr(times, "iowait", 0.0),
        "steal": getattr(times, "steal", 0.0),
    }
    before = view.memory.get("times")
    view.memory["times"] = now
    if before and now["total"] > before["total"]:
        spent = now["total"] - before["total"]
        share = {
            name: min(1.0, max(0.0, (now[name] - before[name]) / spent))
            for name in ("idle", "iowait", "steal")
        }
        samples += [
            view.sample("cpu.used_ratio", 1 - share["idle"]),
            view.sample("cpu.iowait_ratio", share["iowait"]),
            view.sample("cpu.steal_ratio", share["steal"]),
        ]
    return Reading(samples)
