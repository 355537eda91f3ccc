"""The BRIDGE-MIB's forwarding table for net-snmp's `pass_persist`, which has none of its own on Linux: what
`bridge fdb` says now. Source: snmpd.conf(5), RFC 4188."""

import json
import subprocess
import sys

BASE = (1, 3, 6, 1, 2, 1, 17)
LEARNED = 3


def table() -> dict[tuple[int, ...], tuple[str, str]]:
    """OID → type and value, in order."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    index = {one["ifname"]: one["ifindex"] for one in links}
    rows = json.loads(
        subprocess.run(["bridge", "-j", "fdb"], capture_output=True, check=True).stdout or b"[]"
    )
    found: dict[tuple[int, ...], tuple[str, str]] = {}
    for row in rows:
        if "permanent" in (row.get("state"), *row.get("flags", [])) or row.get("ifname") not in index:
            continue
        mac = tuple(int(part, 16) for part in row["mac"].split(":"))
        number = index[row["ifname"]]
        found[(*BASE, 1, 4, 1, 2, number)] = ("integer", str(number))
        found[(*BASE, 4, 3, 1, 2, *mac)] = ("integer", str(number))
        found[(*BASE, 4, 3, 1, 3, *mac)] = ("integer", str(LEARNED))
    return dict(sorted(found.items()))


def main() -> None:
    while line := sys.stdin.readline().strip():
        if line == "PING":
            print("PONG", flush=True)
            continue
        wanted = tuple(int(part) for part in sys.stdin.readline().strip().strip(".").split("."))
        rows = table()
        oid = next((one for one in rows if one > wanted), None) if line == "getnext" else wanted
        if oid is None or oid not in rows:
            print("NONE", flush=True)
            continue
        kind, value = rows[oid]
        print("." + ".".join(map(str, oid)), kind, value, sep="\n", flush=True)


if __name__ == "__main__":
    main()
