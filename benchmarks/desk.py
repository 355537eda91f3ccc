"""CPU time of the desk with 100,000 tickets: the page of the queue, and searches.

    python benchmarks/desk.py [--tickets 100000] [--rounds 9]

CPU milliseconds, medians over requests through Django's whole stack in this process, on SQLite.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

WORDS = [
    "printer",
    "mail",
    "slow",
    "login",
    "network",
    "disk",
    "backup",
    "license",
    "update",
    "screen",
    "keyboard",
    "laptop",
    "server",
    "file",
    "share",
    "password",
    "outlook",
    "teams",
    "router",
    "switch",
    "firewall",
    "website",
    "shop",
    "database",
    "payroll",
    "invoice",
    "scanner",
    "phone",
    "headset",
    "monitor",
    "dock",
    "battery",
    "fan",
    "noise",
    "restart",
    "crash",
    "error",
    "timeout",
    "denied",
    "missing",
    "wrong",
    "late",
    "full",
    "hot",
    "broken",
]
CLIENTS = 500
ENTRIES_OF = 3
SEARCHES = ("printer", "printer timeout", "4711x", "payr", "fuser")


def main() -> None:
    """Fill a data directory of its own and ask the pages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {
            "FORESTALL_DATA": place,
            "DJANGO_SETTINGS_MODULE": "forestall.web.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        from forestall.kernel.datadir import DataDir

        DataDir(Path(place)).create()
        print(json.dumps(measure(given.tickets, given.rounds), indent=1))


def measure(tickets: int, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU by what was asked."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client as Browser

    call_command("migrate", verbosity=0)
    owner, few = seed(tickets)
    found: dict[str, float] = {"tickets": tickets}
    for person, who in ((owner, "all clients"), (few, "three clients")):
        browser = Browser(headers={"host": "localhost"})
        browser.force_login(person)
        pages = {
            "queue": "/tickets/",
            "queue, closed too": "/tickets/?all=1",
            "queue, mine": "/tickets/?who=me",
        }
        pages |= {f"search {words!r}": f"/tickets/?all=1&q={words.replace(' ', '+')}" for words in SEARCHES}
        for name, page in pages.items():
            found[f"{name}, {who}"] = median_ms(browser, page, rounds)
    return found


def median_ms(browser: object, page: str, rounds: int) -> float:
    """The median of some requests, after one that warms."""
    taken = []
    for _ in range(rounds + 1):
        began = time.process_time()
        answer = browser.get(page)  # type: ignore[attr-defined]
        taken.append((time.process_time() - began) * 1000)
        assert answer.status_code == 200, (page, answer.status_code)
    return round(statistics.median(taken[1:]), 1)


def seed(tickets: int) -> tuple[object, object]:
    """Tickets of 500 clients, one in fifty open; an owner, and a technician of three clients."""
    from django.utils import timezone

    from forestall.estate.models import Client, Person
    from forestall.tickets.models import Entry, SearchText, Ticket

    draw, now = random.Random(7), timezone.now()
    clients = Client.objects.bulk_create(Client(name=f"Client {n}") for n in range(CLIENTS))
    owner = Person.objects.create(email="o@x.example", name="O", role="owner", all_clients=True)
    few = Person.objects.create(email="t@x.example", name="T", role="technician")
    few.clients.set(clients[:3])
    for first in range(0, tickets, 5_000):
        rows, entries, words = [], [], []
        for number in range(first + 1, min(first + 5_000, tickets) + 1):
            at = now - timedelta(minutes=tickets - number)
            title = " ".join(draw.sample(WORDS, 5))
            row = Ticket(
                number=number, client=clients[draw.randrange(CLIENTS)], title=title,
                status="open" if number % 50 == 0 else "closed", priority=1 + number % 4,
                opened_at=at, changed_at=at, closed_at=None if number % 50 == 0 else at,
                assignee=owner if number % 500 == 0 else None,
            )  # fmt: skip
            said = [" ".join(draw.choices(WORDS, k=25)) for _ in range(ENTRIES_OF)]
            rows.append(row)
            entries += [
                Entry(client_id=row.client_id, ticket=row, at=at, actor="x", kind="note", text=text)
                for text in said
            ]
            more = " fuser" if number % 1000 == 0 else ""
            words.append(
                SearchText(
                    ticket=row, client_id=row.client_id, words=f"{number} {title}\n{' '.join(said)} {more}"
                )
            )
        for model, made in ((Ticket, rows), (Entry, entries), (SearchText, words)):
            model.objects.bulk_create(made)  # type: ignore[attr-defined]
    return owner, few


if __name__ == "__main__":
    main()
