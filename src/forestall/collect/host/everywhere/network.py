"""Interfaces: link, traffic, errors."""

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import Spec

EVERY_S = 10
RATES = True
SPEC = Spec(
    name="network",
    title="Network interfaces",
    about="Bytes and errors per second and the link of every interface but the loopback.",
    source="proc_net_dev(5) through psutil",
    produces=(
        "network.in_bytes_per_s",
        "network.out_bytes_per_s",
        "network.errors_per_s",
        "network.link_up",
    ),
)
LOOPBACKS = ("lo", "lo0")
VIRTUAL = ("veth", "br-", "docker", "virbr", "tap", "cali", "flannel", "cni")


def look(view: View) -> Reading:
    """Rates since the last look."""
    samples: list[Sample] = []
    links = psutil.net_if_stats()
    for name, counters in psutil.net_io_counters(pernic=True).items():
        if name.startswith(VIRTUAL) or name in LOOPBACKS:
            continue
        for metric, value in (
            ("network.in_bytes_per_s", counters.bytes_recv),
            ("network.out_bytes_per_s", counters.bytes_sent),
            ("network.errors_per_s", counters.errin + counters.errout),
        ):
            rate = view.rate(f"{metric}/{name}", value)
            if rate is not None:
                samples.append(view.sample(metric, rate, name))
        if name in links:
            samples.append(view.sample("network.link_up", float(links[name].isup), name))
    return Reading(samples)
