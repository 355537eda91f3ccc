"""Configurations at scale: bytes kept per version, time to store, to show a difference, to search.

Run: python benchmarks/configurations.py [--configurations 10000] [--versions 50]
Prints JSON. Texts are made like a switch's (12.6 kB, 48 ports); from version to version a line or two change.
`stored` is measured through `store_snapshots` as the watch does it, in batches of 100 with change and journal
entry; to be quick, only `--through` configurations take that road, the others are written by the same packing
straight into the tables. `texts` are bytes of the packed texts, `rows` the tables and indexes of contents,
versions and configurations (SQLite: whole pages).
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

START = datetime(2026, 9, 1, tzinfo=UTC)
ASSETS_A_CLIENT = 20
RARE = "10.99.77.55"
BATCH = 100


def configuration(rng: random.Random, number: int) -> list[str]:
    """Lines of a switch's configuration."""
    lines = ["!", "version 15.2", "service timestamps log datetime msec", f"hostname sw-{number}"]
    lines.append(f"enable secret 9 $9${rng.getrandbits(120):030x}")
    for vlan in range(10, 34):
        lines += [f"vlan {vlan}", f" name {rng.choice(['staff', 'voice', 'guest', 'cctv', 'print'])}-{vlan}"]
    for port in range(1, 49):
        what = rng.choice(["desk", "ap", "phone", "printer", "camera"])
        lines += [
            f"interface GigabitEthernet1/0/{port}",
            f" description {what} {rng.randrange(400)} room {rng.randrange(100)}",
            f" switchport access vlan {rng.randrange(10, 34)}",
            " switchport mode access",
            " spanning-tree portfast",
            f" storm-control broadcast level {rng.randrange(1, 9)}.00",
            "!",
        ]
    for entry in range(62):
        net = f"10.{rng.randrange(90)}.{rng.randrange(255)}.0 0.0.0.255"
        port = rng.choice([22, 80, 443, 3389])
        lines.append(f"access-list 10{entry % 5} permit tcp {net} any eq {port}")
    lines += [f"ntp server {RARE if number % 997 == 0 else '10.0.0.1'}", "logging host 10.0.0.2"]
    lines += ["snmp-server community <masked> RO", "line vty 0 4", " transport input ssh", "end", ""]
    return lines


def change(rng: random.Random, lines: list[str]) -> None:
    """One small change in place."""
    at = rng.randrange(60, len(lines) - 80)
    if lines[at].startswith(" description"):
        lines[at] = f" description moved {rng.randrange(1000)} room {rng.randrange(100)}"
    elif "access vlan" in lines[at]:
        lines[at] = f" switchport access vlan {rng.randrange(34, 99)}"
    elif lines[at].startswith("access-list"):
        net = f"10.{rng.randrange(90)}.{rng.randrange(255)}.0 0.0.0.255"
        lines.insert(at, f"access-list 101 permit tcp {net} any eq 443")
    else:
        lines.insert(at + 1, f" description new {rng.randrange(1000)}")


def texts_of(number: int, versions: int) -> Iterator[str]:
    """The versions of one configuration."""
    rng = random.Random(number)
    lines = configuration(rng, number)
    for _ in range(versions):
        yield "\n".join(lines)
        before = list(lines)
        while lines == before:
            change(rng, lines)


def main() -> None:
    """Fill a data directory of its own and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=50)
    parser.add_argument("--through", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="fill this directory, or use it if it is filled")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forestall-configurations-") as directory:
        home = given.keep or Path(directory)
        os.environ |= {
            "FORESTALL_DATA": str(home),
            "DJANGO_SETTINGS_MODULE": "forestall.web.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        from forestall.kernel.datadir import DataDir

        filled = (home / "filled.json").exists()
        if not filled:
            DataDir(home).create()
        import django
        from django.core.management import call_command

        django.setup()
        if filled:
            result = json.loads((home / "filled.json").read_text())
        else:
            call_command("migrate", verbosity=0)
            result = fill(given.configurations, given.versions, given.through)
            (home / "filled.json").write_text(json.dumps(result))
        result |= measure()
        json.dump(result, sys.stdout, indent=1)
        print()


def fill(configurations: int, versions: int, through: int) -> dict[str, Any]:
    """Clients, switches and their versions; the cost of storing."""
    from django.db import connection, transaction

    from forestall.estate.models import Asset, Client

    clients = max(1, configurations // ASSETS_A_CLIENT)
    Client.objects.bulk_create(Client(name=f"Client {number:04d} Ltd") for number in range(clients))
    owners = list(Client.objects.all())
    Asset.objects.bulk_create(
        Asset(client=owners[number % clients], name=f"sw-{number}", kind="switch")
        for number in range(configurations)
    )
    assets = list(Asset.objects.order_by("name"))
    stored = store(assets[:through], versions)
    before = _bytes()
    with transaction.atomic():
        packed = sum(
            _write(asset, list(texts_of(number, versions)))
            for number, asset in enumerate(assets[through:], through)
        )
    written = (len(assets) - through) * versions
    connection.cursor().execute("ANALYZE")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    text_bytes = statistics.mean(len(text) for text in texts_of(1, versions))
    return {
        "configurations": configurations,
        "versions": versions,
        "text_bytes": round(text_bytes),
        "kept_bytes_per_version": {
            "texts": round(packed / max(1, written)),
            "rows": round((_bytes() - before) / max(1, written)),
            "rows_change_journal": stored.pop("bytes_per_version"),
        },
        "stored": stored,
    }


def store(assets: list[Any], versions: int) -> dict[str, Any]:
    """CPU ms per version through the road of the watch; the same texts again; packing alone."""
    from forestall.configs.actions import store_snapshots
    from forestall.configs.packing import pack
    from forestall.kernel.clock import to_ms
    from forestall.kernel.observations import Snapshot

    texts = [list(texts_of(number, versions)) for number in range(len(assets))]
    before = _bytes()
    new, same, now = [], [], START + timedelta(days=400)
    for version in range(versions):
        for again in (False, True):
            at_ms = to_ms(START + timedelta(days=version, hours=again))
            for low in range(0, len(assets), BATCH):
                batch = [
                    (asset.client_id, asset.pk, Snapshot(at_ms, "running-config", texts[low + n][version]))
                    for n, asset in enumerate(assets[low : low + BATCH])
                ]
                begun = time.process_time()
                store_snapshots(batch, now=now)
                took = (time.process_time() - begun) / len(batch) * 1000
                (same if again else new).append(took)
    pairs = [(one.encode(), two.encode()) for row in texts[:20] for one, two in pairwise(row)]
    begun = time.process_time()
    for one, two in pairs:
        pack(two, one)
    packing = (time.process_time() - begun) / len(pairs) * 1000
    return {
        "new_version_cpu_ms": round(statistics.median(new[1:]), 3),
        "unchanged_cpu_ms": round(statistics.median(same), 3),
        "packing_alone_cpu_ms": round(packing, 3),
        "bytes_per_version": round((_bytes() - before) / (len(assets) * versions)),
    }


def _write(asset: Any, texts: list[str]) -> int:
    """The versions of a configuration by bulk inserts; bytes of the packed texts."""
    from forestall.configs.models import Configuration, Content, Version
    from forestall.configs.packing import RUN, base_place, digest_of, pack

    at: dict[int, tuple[Content, bytes]] = {}
    contents = []
    for number, text in enumerate(texts):
        data, place = text.encode(), number % RUN
        base, plain = at[base_place(place)] if place else (None, b"")
        row = Content.objects.create(
            client_id=asset.client_id, digest=digest_of(data), size_bytes=len(data),
            compressed=pack(data, plain), base=base, place=place,
        )  # fmt: skip
        at[place] = (row, data)
        contents.append(row)
    rows = Version.objects.bulk_create(
        Version(
            client_id=asset.client_id, asset=asset, kind="running-config", title="running-config",
            number=number, content=content, captured_at=START + timedelta(days=number),
            seen_at=START + timedelta(days=number, hours=23),
        )
        for number, content in enumerate(contents, 1)
    )  # fmt: skip
    Configuration.objects.create(
        client_id=asset.client_id, asset=asset, kind="running-config", title="running-config",
        newest=rows[-1], touched_at=rows[-1].captured_at,
    )  # fmt: skip
    return sum(len(row.compressed) for row in contents)


def _bytes() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute("PRAGMA freelist_count")
        free = cursor.fetchone()[0]
        cursor.execute("PRAGMA page_size")
        return int((pages - free) * cursor.fetchone()[0])


def measure() -> dict[str, Any]:
    """CPU and wall of a difference and of searches."""
    from forestall.configs import queries
    from forestall.configs.matching import Needle
    from forestall.configs.models import Version
    from forestall.configs.searching import Where, search
    from forestall.estate.tenancy import Scope

    scope = Scope(actor="benchmark", everything=True)
    mid = START + timedelta(days=25, hours=12)
    late = list(Version.objects.filter(number=Version.objects.order_by("-number").first().number)[:40])
    shown = [_cost(partial(queries.compare, scope, row.pk))[1:] for row in late]
    result: dict[str, Any] = {
        "difference": {"cpu_ms": round(statistics.median(cpu for cpu, _ in shown), 2)},
        "judged_by_the_packs": {"cpu_ms": judge()},
        "search": {},
    }
    needles = {
        "a rare word": Needle(RARE),
        "a word that all have": Needle("spanning-tree"),
        "two words": Needle("ntp 10.0.0.1"),
        "starts with": Needle("ntp server", "starts"),
        "a regular expression": Needle(r"ntp server 10\.99\.", "re"),
        "a regular expression, line by line": Needle(r"^ntp\s+server\s+10\.99\.", "re"),
    }
    for name, needle in needles.items():
        for when, at in (("now", None), ("at a date", mid)):
            costs = [_cost(partial(search, scope, needle, Where(at=at))) for _ in range(3)]
            found = costs[0][0]
            result["search"][f"{name}, {when}"] = {
                "cpu_ms": round(statistics.median(cpu for _, cpu, _ in costs)),
                "wall_ms": round(statistics.median(wall for _, _, wall in costs)),
                "matched": found.matched,
                "looked": found.looked,
            }
    missing = _cost(partial(search, scope, Needle("10.0.0.1"), Where(), absent=True))
    result["search"]["devices that do not have it, now"] = {
        "cpu_ms": round(missing[1]), "matched": missing[0].matched,
    }  # fmt: skip
    return result


def judge() -> float:
    """CPU ms of judging a text by every rule on configurations of a switch."""
    from forestall.judge.compliance import ReadText, check_text
    from forestall.judge.pack import load_packs
    from forestall.judge.shelf import builtin_packs

    rules = load_packs(builtin_packs()).rules_for("switch").values()
    demands = [rule.demand for rule in rules if rule.demand is not None]
    texts = [next(texts_of(number, 1)) for number in range(100)]
    begun = time.process_time()
    for text in texts:
        read = ReadText(text)
        for demand in demands:
            check_text(demand, read)
    return round((time.process_time() - begun) / len(texts) * 1000, 2)


def _cost(work: Any) -> tuple[Any, float, float]:
    begun, wall = time.process_time(), time.perf_counter()
    found = work()
    return found, (time.process_time() - begun) * 1000, (time.perf_counter() - wall) * 1000


if __name__ == "__main__":
    main()
