"""Polls a device by SNMP, as its profile says (collect/snmp)."""

import asyncio
from collections import OrderedDict
from weakref import WeakKeyDictionary

from forestall.collect.answers import Answer, NotAsked, Question, read_place, say_place
from forestall.collect.reach import Reach
from forestall.collect.snmp.polling import Device
from forestall.collect.snmp.profile import profile_names
from forestall.collect.snmp.session import Way
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 20.0
AUTOMATIC = "automatic"
DEVICES_MAX = 5_000  # whose counters are remembered
OPEN_MAX = 200  # sessions that stay open between polls
LEAVE_OUT_MAX = 50

SPEC = Spec(
    name="snmp",
    title="SNMP",
    about="Polls a device: interfaces, processor, memory, sensors, supplies, batteries, BGP neighbours, "
    "what it is made of. Its profile is chosen by what the device says it is.",
    source="RFC 3416, RFC 3414, RFC 7860; the MIBs named in src/forestall/collect/snmp/profiles",
    settings=(
        Setting(
            "version", "Version", "choice", default="by credential", choices=("by credential", "1"),
            help="By credential: v3 for a user, v2c for a community. 1: only for very old devices",
        ),
        Setting(
            "profile", "Profile", "choice", default=AUTOMATIC, choices=(AUTOMATIC, *profile_names()),
            help="Automatic: by the device's own word (sysObjectID)",
        ),
        Setting(
            "leave_out", "Leave out", "lines", default=(),
            help="Items that nobody wants, one pattern a line: Vlan*, Null0",
        ),
    ),
    limits="Reads only. 10,000 rows of a table, 500,000 values and 32 MB of text in a poll; a datagram is "
    "sent three times. Rates come with the second poll. An interface is told as down only after it was up.",
    produces=(
        "probe.up", "probe.took_ms", "device.uptime_s", "device.restarted", "device.cpu_used_ratio",
        "device.memory_used_ratio", "device.temperature_celsius", "device.fan_failed", "device.power_failed",
        "interface.up", "interface.in_bytes_per_s", "interface.out_bytes_per_s", "interface.used_ratio",
        "interface.errors_per_s", "interface.discards_per_s", "bgp.neighbour_up", "disk.used_ratio",
        "ups.on_battery", "ups.charge_ratio", "ups.runtime_s", "ups.load_ratio", "printer.supply_ratio",
        "printer.paper_out", "printer.stopped",
    ),
    credentials=("snmp_v2c", "snmp_v3"),
)  # fmt: skip

_Devices = OrderedDict[tuple[object, ...], Device]
# What rates need of every device, from poll to poll; the one that was not asked for longest gives way.
_devices: WeakKeyDictionary[asyncio.AbstractEventLoop, _Devices] = WeakKeyDictionary()


async def probe(question: Question, reach: Reach) -> Answer:
    """Poll host[:161]."""
    host, port = read_place(question.target, port=161)
    credential = dict(question.credential)
    if not credential.get("community") and not credential.get("user"):
        raise NotAsked(
            "this probe needs a credential (SNMP v2c or v3) that is for this asset's site: add one under "
            "Credentials and choose it here"
        )
    leave_out = tuple(question.settings["leave_out"])
    if len(leave_out) > LEAVE_OUT_MAX:
        raise NotAsked(f"at most {LEAVE_OUT_MAX} patterns can be left out: use wider ones")
    version = 3 if credential.get("user") else 2
    if question.settings["version"] == "1":
        if version == 3:
            raise NotAsked("version 1 needs a community: choose a credential of the kind SNMP v2c")
        version = 1
    question.doing(f"looking up {host}")
    address = (await reach.resolve(host))[0]
    wanted = question.settings["profile"]
    device = _find_device(
        Way(address, port, version, credential),
        profile="" if wanted == AUTOMATIC else wanted,
        leave_out=leave_out,
        question=question,
        name=host if port == 161 else say_place(host, port),
    )
    try:
        return await device.poll(question)
    finally:
        _close_oldest()


def _find_device(
    way: Way, *, profile: str, leave_out: tuple[str, ...], question: Question, name: str
) -> Device:
    """The device as it was asked before, or a new one."""
    devices = _devices.setdefault(asyncio.get_running_loop(), OrderedDict())
    key = (
        name,
        way.address,
        way.port,
        way.version,
        tuple(sorted(way.credential.items())),
        profile,
        leave_out,
    )
    device = devices.get(key)
    if device is None:
        device = devices[key] = Device(
            way, profile=profile, leave_out=leave_out, memory=question.memory, name=name
        )
    devices.move_to_end(key)
    while len(devices) > DEVICES_MAX:
        devices.popitem(last=False)[1].close()
    return device


def _close_oldest() -> None:
    """Not more sessions open than may be; none is closed that is being asked."""
    devices = _devices.get(asyncio.get_running_loop(), OrderedDict())
    idle = [device for device in devices.values() if device.session is not None and not device.lock.locked()]
    for device in idle[: max(0, len(idle) - OPEN_MAX)]:
        device.close()
