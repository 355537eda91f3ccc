"""How long the pages of economics take, and what reckoning a year costs.

Each figure is a median of CPU ms in one process, with SQLite in a file, of what a page reads. Reckoning is
CPU s of one round over every client and month.
Run: python benchmarks/economics.py [--clients 1000] [--months 12]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TIMES = 9


def main() -> None:
    reading = argparse.ArgumentParser()
    reading.add_argument("--clients", type=int, default=1_000)
    reading.add_argument("--months", type=int, default=12)
    given = reading.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORESTALL_DATA"] = folder
        from forestall.kernel.datadir import DataDir
        from forestall.processes.setup import start_django

        DataDir(Path(folder)).create()
        start_django()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print(json.dumps(measure(given.clients, given.months), indent=1))


def measure(clients: int, months: int) -> dict[str, Any]:
    """Seconds to reckon, and ms of what pages read."""
    from forestall.agreements.calendar import month_of
    from forestall.economics import queries
    from forestall.economics.actions import reckon
    from forestall.economics.owner import owners_month
    from forestall.estate.tenancy import system_scope
    from forestall.processes.simulated_year import YearOfProvider

    now, scope = datetime.now(UTC), system_scope("benchmark")
    last = month_of(now.date()).before
    year = YearOfProvider(1, clients=clients, last=last, months=months)
    year.write()
    began = time.process_time()
    reckon(scope, year.months, now=now)
    reckoned_s = time.process_time() - began
    span = (str(year.months[0]), str(last))
    lines = queries.client_lines(scope, *span)
    losing = [one for one in lines if one.sums.left_minor < 0][:10]
    return {
        "clients": clients, "months": months, "reckon_cpu_s": round(reckoned_s, 2),
        "clients_ms": ms(lambda: queries.client_lines(scope, *span)),
        "reasons_ms": ms(lambda: queries.why(scope, losing, *span)),
        "client_months_ms": ms(lambda: queries.months_of(scope, lines[0].client, *span)),
        "rules_ms": ms(lambda: queries.rules_of(scope, *span)),
        "renewals_ms": ms(lambda: queries.renewals_at_risk(scope, *span, today=now.date())),
        "owners_month_ms": ms(lambda: owners_month(scope, last, now=now)),
    }  # fmt: skip


def ms(act: Callable[[], object]) -> float:
    """Median CPU ms of an act."""
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        act()
        found.append((time.process_time() - began) * 1000)
    return round(statistics.median(found), 1)


if __name__ == "__main__":
    main()
