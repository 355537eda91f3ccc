"""Networks of the example clients of `up --demo`: what a sweep saw, what switches said and say.

All of it is made up and written once, when the clients are made; nothing asks these devices. It goes through
the same actions as what collectors bring, so proposals, wires, changes and compliance come of it as usual.
"""

from datetime import datetime, timedelta

from forestall.configs.actions import store_snapshots
from forestall.configs.notices import Said, note_notices
from forestall.estate.models import Asset, Site
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import Link, Sighting, Snapshot, Sweep
from forestall.networks.actions import PlacedSweep, take_sweeps

SWITCHES = ("sw-1", "sw-2")
PORTS = 24
DESKS = 6
CISCO = "Cisco IOS Software, C2960X Software, Version 15.2(7)E7"


def put_network(client: str, number: int, *, now: datetime) -> None:
    """Give the example client number `number` a network and its switches' history."""
    firewall = Asset.objects.get(client=client, name="fw-1")
    site = Site.objects.get(client=client, name="Main office")
    site.ranges = [f"10.{20 + number}.0.0/24"]
    site.save(update_fields=["ranges"])
    for place, name in enumerate(("fw-1", *SWITCHES, "srv-files", "srv-app"), 1):
        row, _ = Asset.objects.get_or_create(
            client_id=client, name=name,
            defaults={"kind": "switch", "site": site, "facts": {"demo": True}},
        )  # fmt: skip
        row.addresses = [_address(number, place)]
        row.save(update_fields=["addresses"])
    sweep = _sweep(number, to_ms(now))
    take_sweeps(
        [
            PlacedSweep(
                client=client, asset=firewall.pk, collector="", at_ms=to_ms(now),
                reason=f"an example: {len(sweep.sightings)} devices at 254 of 254 addresses", sweep=sweep,
            )
        ]
    )  # fmt: skip
    for switch in Asset.objects.filter(client=client, name__in=SWITCHES):
        _remember(switch, number, now=now)


def _address(number: int, last: int) -> str:
    return f"10.{20 + number}.0.{last}"


def _mac(last: int) -> str:
    return f"00:1b:54:00:00:{last:02x}"


def _sweep(number: int, at_ms: int) -> Sweep:
    """A firewall, two switches that are bundled, a ring that spanning tree opens, servers, and strangers."""

    def seen(
        last: int, name: str, *, description: str = "", ports: list[int], forwards: bool = False
    ) -> Sighting:
        by = ["ping", "snmp"] if description else ["ping"]
        return Sighting(
            at_ms, _address(number, last), _mac(last), [name] if name else [], "", ports,
            description=description, by=by, forwards=forwards,
        )  # fmt: skip

    def heard(
        here: int, port: str, there: int, remote: str, bundle: str = "", *, blocked: bool = False
    ) -> Link:
        return Link(
            "lldp", _address(number, here), port, mac=_mac(there), remote_port=remote, bundle=bundle,
            blocked=blocked,
        )  # fmt: skip

    devices = [
        seen(1, "fw-1", description="FortiGate-60F v7.2.8", ports=[443], forwards=True),
        seen(2, "sw-1", description=CISCO, ports=[22]),
        seen(3, "sw-2", description=CISCO, ports=[22]),
        seen(4, "srv-files", ports=[135, 445]),
        seen(5, "srv-app", ports=[22, 443]),
        seen(40, "", ports=[515, 9100]),
        seen(41, "nas-old", ports=[22, 445, 5000]),
        *(seen(50 + desk, f"pc-{desk + 1}", ports=[135, 445]) for desk in range(DESKS)),
    ]
    links = [
        Link("route", _address(number, 4), "Ethernet0", address=_address(number, 1)),
        heard(2, "Gi1/0/24", 1, "internal1"),
        heard(2, "Gi1/0/21", 3, "Gi1/0/21", "Po1"),
        heard(2, "Gi1/0/22", 3, "Gi1/0/22", "Po1"),
        heard(3, "Gi1/0/21", 2, "Gi1/0/21", "Po1"),
        heard(3, "Gi1/0/22", 2, "Gi1/0/22", "Po1"),
        heard(3, "Gi1/0/24", 1, "internal2", blocked=True),
        *(
            Link("fdb", _address(number, switch), f"Gi1/0/{port}", mac=_mac(last))
            for switch, port, last in (
                (2, 1, 4), (2, 2, 5), (3, 3, 40), (2, 3, 41),
                *((3, 5 + desk, 50 + desk) for desk in range(DESKS)),
            )
        ),
    ]  # fmt: skip
    return Sweep(devices, links, asked=254)


def _remember(switch: Asset, number: int, *, now: datetime) -> None:
    """Three captures of a switch; a line of its log names who made the last change."""
    when = [now - timedelta(days=days, hours=number) for days in (21, 8, 1)]
    texts = [_configuration(switch.name, number, stage) for stage in range(len(when))]
    line = "%SYS-5-CONFIG_I: Configured from console by j.miller on vty0"
    user_at = _address(number, 50)
    note_notices([Said(switch.client_id, switch.pk, when[-1], f"{line} ({user_at})", "j.miller", user_at)])
    for at, text in zip(when, texts, strict=True):
        taken = Snapshot(to_ms(at), "running", text, "Running configuration")
        again = Snapshot(to_ms(at + timedelta(hours=6)), "running", text, "Running configuration")
        store_snapshots([(switch.client_id, switch.pk, taken), (switch.client_id, switch.pk, again)], now=now)


def _configuration(name: str, number: int, stage: int) -> str:
    """A switch's configuration: at stage 1 a desk moved, at stage 2 Telnet was let in on one."""
    lines = ["version 15.2", "service timestamps log datetime msec", f"hostname {name}", "!",
             "enable secret 9 ‹secret 3f2a9c71›", "username admin privilege 15 secret 9 ‹secret 8d04e1b6›",
             "ip ssh version 2", "no ip http server", "spanning-tree mode rapid-pvst", "!"]  # fmt: skip
    for vlan, label in ((10, "staff"), (20, "voice"), (30, "guests")):
        lines += [f"vlan {vlan}", f" name {label}", "!"]
    for port in range(1, PORTS + 1):
        lines.append(f"interface GigabitEthernet1/0/{port}")
        if port in (21, 22):
            lines += [" switchport mode trunk", " channel-group 1 mode active", "!"]
        elif port == PORTS:
            lines += [" description uplink fw-1", " switchport mode trunk", "!"]
        else:
            vlan = 30 if port == 7 and stage else 10
            lines += [f" switchport access vlan {vlan}", " switchport mode access",
                      " spanning-tree portfast", "!"]  # fmt: skip
    if number != 1:
        lines.append(f"ntp server {_address(number, 1)}")
    lines += [f"logging host {_address(number, 5)}", "!", "line con 0", " exec-timeout 15 0",
              "line vty 0 15", " exec-timeout 15 0"]  # fmt: skip
    telnet = stage == 2 and name == SWITCHES[0]
    lines += [f" transport input {'telnet ssh' if telnet else 'ssh'}", "end", ""]
    return "\n".join(lines)
