"""The metrics that rules may look at: how each is said in a reason, its unit, and who speaks when it comes.

A metric is *asked* when a probe's answer brings it: it tells about the asset, but is no sign of life from the
asset's own agent. Metrics that are not listed are allowed when their name ends in a known unit.
"""

import difflib
from dataclasses import dataclass

UNITS = {
    "ratio": "a share: 90% or 0.9",
    "bytes": "a size: 5 GB",
    "bytes_per_s": "a size per second: 10 MB",
    "s": "a time: 10 min",
    "ms": "a time: 200 ms",
    "days": "days: 21 days or 21",
    "celsius": "degrees: 45",
    "count": "a count: 3",
    "per_s": "a rate: 5",
    "": "a plain number: 3",
}
MEASURES = ("bytes_per_s", "bytes", "ratio", "per_s", "ms", "s", "days", "celsius", "count")


@dataclass(frozen=True, slots=True)
class Metric:
    """`says` is the beginning of a reason, with {item} and {value}."""

    name: str
    says: str
    unit: str = ""
    asked: bool = False


def _listed(*rows: tuple[str, str]) -> dict[str, Metric]:
    found = {}
    for name, says in rows:
        asked = name.startswith(ASKED)
        found[name] = Metric(name, says, suffix_unit(name) or "", asked)
    return found


ASKED = (
    "probe.",
    "certificate.",
    "http.",
    "dns.",
    "ntp.",
    "smtp.",
    "sql.",
    "icmp.",
    "domain.",
    "nagios.",
    "ups.",
    "printer.",
    "interface.",
    "device.",
    "bgp.",
    "backup.",
)


def suffix_unit(name: str) -> str | None:
    """The unit that a metric's name ends in, or None."""
    tail = name.rsplit(".", 1)[-1].removesuffix("_left")
    for unit in MEASURES:
        if tail == unit or tail.endswith("_" + unit):
            return unit
    return None


METRICS = _listed(
    ("cpu.used_ratio", "the processor is {value} busy"),
    ("cpu.steal_ratio", "the host takes {value} of the processor's time away"),
    ("cpu.iowait_ratio", "the processor waits for disks {value} of the time"),
    ("load.per_core", "the load is {value} per core"),
    ("memory.used_ratio", "memory is {value} used"),
    ("memory.available_bytes", "{value} of memory are available"),
    ("swap.used_ratio", "swap is {value} used"),
    ("disk.used_ratio", "{item} is {value} full"),
    ("disk.free_bytes", "{item} has {value} free"),
    ("disk.size_bytes", "{item} has {value}"),
    ("inodes.used_ratio", "{item} has used {value} of its inodes"),
    ("disk.read_bytes_per_s", "{item} reads {value}"),
    ("disk.write_bytes_per_s", "{item} writes {value}"),
    ("disk.busy_ratio", "{item} is busy {value} of the time"),
    ("disk.healthy", "{item} reports itself as failing"),
    ("disk.encrypted", "{item} is not encrypted"),
    ("firewall.off", "the firewall {item} is off"),
    ("antivirus.off", "nothing protects it against malware"),
    ("antivirus.signatures_days", "the signatures against malware are {value} old"),
    ("network.in_bytes_per_s", "{item} receives {value}"),
    ("network.out_bytes_per_s", "{item} sends {value}"),
    ("network.errors_per_s", "{item} has errors at {value}"),
    ("network.link_up", "{item} has no link"),
    ("processes.count", "{value} processes run"),
    ("processes.zombies", "{value} processes are zombies"),
    ("service.failed", "the service {item} has failed"),
    ("services.failed_count", "{value} services have failed"),
    ("updates.pending_count", "{value} updates are pending"),
    ("updates.security_count", "{value} security updates are pending"),
    ("updates.reboot_required", "a reboot is required to finish updates"),
    ("updates.since_last_days", "the last update was installed {value} ago"),
    ("uptime_s", "it has been up for {value}"),
    ("time.offset_ms", "the clock is off by {value}"),
    ("users.signed_in", "{value} people are signed in"),
    ("oom.kills_count", "the kernel killed processes for lack of memory"),
    ("agent.spool_bytes", "the agent's spool holds {value}"),
    ("agent.dropped_count", "the agent had to drop observations"),
    ("agent.cpu_used_ratio", "the agent uses {value} of a processor"),
    ("agent.memory_bytes", "the agent uses {value} of memory"),
    ("backup.uncovered", "{item} is in no backup plan"),
    ("backup.size_bytes", "{item} saved {value}"),
    ("backup.files_count", "{item} saved {value} files"),
    ("backup.added_bytes", "{item} added {value}"),
    ("backup.took_s", "{item} took {value}"),
    ("backup.copies_count", "{item} has {value} copies"),
    ("backup.repository_used_bytes", "the repository of {item} takes {value}"),
    ("backup.repository_free_bytes", "the repository of {item} has {value} free"),
    ("backup.recovery_point_s", "a restore of {item} lost {value}"),
    ("backup.recovery_time_s", "a restore of {item} took {value}"),
    ("probe.up", "{item} does not answer as it should"),
    ("probe.took_ms", "{item} took {value} to answer"),
    ("certificate.days_left", "the certificate of {item} runs out in {value}"),
    ("http.status", "{item} answers with status {value}"),
    ("dns.answers_count", "{item} has {value} answers"),
    ("ntp.offset_ms", "the clock of {item} is off by {value}"),
    ("smtp.code", "{item} answers with code {value}"),
    ("sql.took_ms", "{item} took {value} to answer a query"),
    ("icmp.loss_ratio", "{value} of the packets to {item} are lost"),
    ("icmp.rtt_ms", "a packet to {item} and back takes {value}"),
    ("domain.days_left", "the registration of {item} runs out in {value}"),
    ("ups.charge_ratio", "the battery is charged to {value}"),
    ("ups.on_battery", "it runs on battery"),
    ("ups.runtime_s", "the battery lasts for {value}"),
    ("ups.load_ratio", "it is loaded to {value}"),
    ("ups.battery_bad", "the battery must be replaced"),
    ("ups.battery_low", "the battery is low"),
    ("ups.temperature_celsius", "the battery is at {value}"),
    ("printer.supply_ratio", "{item} is down to {value}"),
    ("printer.paper_out", "{item} is out of paper"),
    ("printer.stopped", "it has stopped printing"),
    ("printer.pages_count", "it has printed {value} pages"),
    ("interface.up", "the interface {item} is down"),
    ("interface.in_bytes_per_s", "the interface {item} receives {value}"),
    ("interface.out_bytes_per_s", "the interface {item} sends {value}"),
    ("interface.discards_per_s", "the interface {item} discards packets at {value}"),
    ("interface.errors_per_s", "the interface {item} has errors at {value}"),
    ("interface.used_ratio", "the interface {item} is used to {value}"),
    ("device.cpu_used_ratio", "its processor is {value} busy"),
    ("device.memory_used_ratio", "its memory is {value} used"),
    ("device.storage_used_ratio", "{item} is {value} full"),
    ("device.swap_used_ratio", "its swap is {value} used"),
    ("device.sessions_used_ratio", "its table of sessions is {value} full"),
    ("device.sessions_count", "it has {value} sessions"),
    ("device.stations_count", "{item} has {value} stations"),
    ("device.tunnel_up", "the tunnel {item} is down"),
    ("device.uptime_s", "it has been up for {value}"),
    ("device.restarted", "it has restarted"),
    ("device.sensor_failed", "the sensor {item} reports a fault"),
    ("device.disk_failed", "the disk {item} has failed"),
    ("device.array_degraded", "the array {item} is degraded"),
    ("device.humidity_ratio", "{item} is at {value} of humidity"),
    ("device.fan_rpm", "the fan {item} turns {value} times a minute"),
    ("device.power_watts", "{item} draws {value} W"),
    ("bgp.neighbour_up", "the BGP neighbour {item} is lost"),
    ("device.temperature_celsius", "{item} is at {value}"),
    ("device.fan_failed", "the fan {item} has failed"),
    ("device.power_failed", "the power supply {item} has failed"),
    ("device.unsaved_lines", "what runs is not saved: {value} lines differ from what would start"),
    ("device.host_key_changed", "{item} shows another host key than before"),
    ("forestall.queue_bytes", "the queue {item} holds {value}"),
    ("forestall.queue_age_s", "the oldest waiting observation of {item} is {value} old"),
    ("forestall.rejected_count", "input from {item} was rejected"),
    ("forestall.store_delay_s", "the store lags behind by {value}"),
    ("forestall.udp_dropped_count", "the system dropped datagrams before they could be read"),
    ("forestall.outcomes_lost_count", "outcomes of probes could not be handed on"),
    ("forestall.disk_fails", "the disk of {item} fails: it does not keep what is written to it"),
    ("forestall.no_room", "the disk is full: observations are turned away"),
    ("forestall.role_up", "the role {item} is down"),
    ("forestall.listener_up", "the listener {item} does not listen"),
    ("forestall.mailbox_silent_s", "the mailbox {item} was not read for {value}"),
    ("forestall.delivery_late_s", "the oldest message that is due is {value} late"),
)


def find_metric(name: str) -> Metric | None:
    """The metric of that name; None when it is neither listed nor ends in a known unit."""
    listed = METRICS.get(name)
    if listed is not None:
        return listed
    if name.startswith("nagios.") and len(name) > len("nagios."):
        return Metric(name, name + " of {item} is {value}", suffix_unit(name) or "", asked=True)
    unit = suffix_unit(name)
    if unit is None or "." not in name:
        return None
    return Metric(name, name.replace(".", " ") + " of {item} is {value}", unit, name.startswith(ASKED))


def similar_metric(name: str) -> str:
    """The listed metric that was probably meant, or ""."""
    close = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.6)
    return close[0] if close else ""
