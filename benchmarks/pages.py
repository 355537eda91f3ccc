"""What the console's pages that need no store cost the server with 1,000 clients and 10,000 assets.

Run: python benchmarks/pages.py [--clients 1000]
Prints JSON: for each page the median CPU and wall time in ms of 20 answers (through the whole stack of
middleware, in this process), how many queries it makes and how large it is.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROUNDS = 20
PLACES = ("overview", "clients", "assets", "findings", "alerts", "tickets", "ticket-new", "spec", "rejected")
PLACES += ("channels", "collectors", "people", "health", "catalogue", "search")
ASSETS_A_CLIENT = 10
OPEN_FINDINGS = 1_500
ENDED_FINDINGS = 20_000
KINDS = ("server", "workstation", "switch", "firewall", "website")


def main() -> None:
    """Fill a data directory of its own and ask each page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forestall-pages-") as directory:
        os.environ |= {
            "FORESTALL_DATA": directory,
            "DJANGO_SETTINGS_MODULE": "forestall.web.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        from forestall.kernel.datadir import DataDir

        DataDir(Path(directory)).create()
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        fill(given.clients)
        json.dump(measure(), sys.stdout, indent=1)
        print()


def fill(clients: int) -> None:
    """A provider with that many clients; something is wrong at most of them."""
    from django.utils import timezone

    from forestall.alerts.models import Alert
    from forestall.estate.models import Asset, Client, Collector, Site
    from forestall.findings.models import Finding
    from forestall.judge.values import State
    from forestall.tickets.models import Ticket

    rng, now = random.Random(7), timezone.now()
    Client.objects.bulk_create(Client(name=f"Client {number:04d} Ltd") for number in range(clients))
    owners = list(Client.objects.all())
    Site.objects.bulk_create(Site(client=owner, name="Main office") for owner in owners)
    sites = {site.client_id: site for site in Site.objects.all()}
    Asset.objects.bulk_create(
        Asset(
            client=owner, site=sites[owner.pk], name=f"{kind[:3]}-{number}-{owner.name[7:11]}", kind=kind,
            addresses=[f"10.{number}.0.9"],
        )
        for owner in owners
        for number in range(ASSETS_A_CLIENT)
        for kind in [KINDS[number % len(KINDS)]]
    )  # fmt: skip
    assets = list(Asset.objects.all())
    Collector.objects.bulk_create(
        Collector(
            client_id=asset.client_id, asset=asset, public_key=b"k" * 32, key_since=now, enrolled_at=now,
            last_seen_at=now, version="0.1.0", platform="Linux",
        )
        for asset in assets[::ASSETS_A_CLIENT]
    )  # fmt: skip
    states = [State.DRIFTING, State.OUT_OF_SPEC, State.BREAKING, State.SILENT]
    Finding.objects.bulk_create(
        Finding(
            client_id=asset.client_id, asset=asset, rule=f"rule-{number % 40}", item=str(number),
            pack="linux-server", pack_version="1", state=state.value, worst=state.value,
            concern=state.concern, tells=state is not State.DRIFTING, began_at=at, opened_at=at,
            changed_at=at, ended_at=None if number < OPEN_FINDINGS else at + timedelta(hours=1),
            reason="/srv is 94.2% full (limit 92%) for 5 min; at this pace it is full in 2 days",
        )
        for number in range(OPEN_FINDINGS + ENDED_FINDINGS)
        for asset, state in [(rng.choice(assets), rng.choice(states))]
        for at in [now - timedelta(minutes=rng.randrange(60 * 24 * 30))]
    )  # fmt: skip
    found = list(Finding.objects.filter(ended_at=None, tells=True).select_related("asset")[:600])
    Alert.objects.bulk_create(
        Alert(
            client_id=one.client_id, asset=one.asset, title=one.reason[:80], concern=one.concern,
            state="open", severity=one.state, cause_key=one.pk, reason=one.reason, opened_at=one.opened_at,
            tell_at=one.opened_at, told_at=one.opened_at,
        )
        for one in found
    )  # fmt: skip
    Ticket.objects.bulk_create(
        Ticket(
            number=number, client_id=one.client_id, asset=one.asset, title=one.reason[:80],
            priority=1 + number % 4, status="open", opened_at=one.opened_at,
            changed_at=one.opened_at, cause_key=one.pk,
        )
        for number, one in enumerate(found, 1)
    )  # fmt: skip


def measure() -> dict[str, Any]:
    """The cost of each page."""
    from django.db import connection
    from django.test import Client as Browser
    from django.urls import reverse

    from forestall.estate.access import make_person
    from forestall.estate.values import Role

    owner = make_person(
        name="Jo Ortiz", email="jo@provider.example", role=Role.OWNER, actor="benchmark", all_clients=True
    )
    browser = Browser(headers={"host": "localhost"})
    browser.force_login(owner)
    result: dict[str, Any] = {}
    for place in PLACES:
        address = reverse(place) + ("?q=srv-1" if place == "search" else "")
        asked: list[str] = []

        def note(execute: Any, sql: str, *given: Any, asked: list[str] = asked) -> Any:
            asked.append(sql)
            return execute(sql, *given)

        with connection.execute_wrapper(note):
            answer = browser.get(address)
        assert answer.status_code == 200, (address, answer.status_code, answer.headers.get("Location"))
        cpu, wall = [], []
        for _ in range(ROUNDS):
            cpu_at, wall_at = time.process_time(), time.perf_counter()
            browser.get(address)
            cpu.append((time.process_time() - cpu_at) * 1000)
            wall.append((time.perf_counter() - wall_at) * 1000)
        result[place] = {
            "cpu_ms": round(statistics.median(cpu), 1),
            "wall_ms": round(statistics.median(wall), 1),
            "queries": len(asked),
            "kilobytes": round(len(answer.content) / 1000),
        }
    return result


if __name__ == "__main__":
    main()
