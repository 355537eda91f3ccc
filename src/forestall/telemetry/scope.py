"""The tenancy gate of telemetry: every read is handed the numbers of the clients that it may see."""

from collections.abc import Collection
from typing import Final

from forestall.kernel.ids import to_number


class Every:
    """All clients: for the installation itself and for staff who see all."""


EVERY: Final = Every()
Clients = frozenset[int] | Every


def clients_of(identifiers: Collection[str]) -> frozenset[int]:
    """The numbers of some clients' identifiers."""
    return frozenset(to_number(identifier) for identifier in identifiers)


def sql_of(clients: Clients) -> str:
    """The condition on the column `client`. No clients: no rows."""
    if isinstance(clients, Every):
        return "1"
    if not clients:
        return "0"
    return f"client IN ({', '.join(str(int(number)) for number in sorted(clients))})"
