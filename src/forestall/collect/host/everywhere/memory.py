"""Memory, swap, and processes that the kernel killed for want of it."""

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 10
SPEC = Spec(
    name="memory",
    title="Memory and swap",
    about="Used and available memory, used swap, kills for want of memory since the last look.",
    source="proc_meminfo(5), proc_vmstat(5)",
    produces=("memory.used_ratio", "memory.available_bytes", "swap.used_ratio", "oom.kills_count"),
)


def look(view: View) -> Reading:
    """Used is what is not available: caches that can be given up do not count."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    samples = [
        view.sample("memory.used_ratio", 1 - memory.available / memory.total),
        view.sample("memory.available_bytes", memory.available),
    ]
    if swap.total:
        samples.append(view.sample("swap.used_ratio", swap.used / swap.total))
    vmstat = view.root / "proc/vmstat"
    if vmstat.exists():
        for line in vmstat.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                before = view.memory.get("oom", int(value))
                view.memory["oom"] = int(value)
                samples.append(view.sample("oom.kills_count", max(0, int(value) - before)))
    return Reading(samples)
