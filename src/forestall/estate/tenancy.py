"""The tenancy gate: whose data a reader sees. Every read of tenant data is handed a `Scope`.

Behind it stand walls in PostgreSQL (keeping.walls): what a reader who is signed in may reach at all is
set once, where they are let in, whatever a query forgets.
"""

from contextvars import ContextVar
from dataclasses import dataclass

SETTING = "forestall.clients"  # of a session in PostgreSQL
INSTALLATION = "*"  # in reach of the installation's own work: every client
_in_reach: ContextVar[str] = ContextVar("clients_in_reach", default=INSTALLATION)


@dataclass(frozen=True, slots=True)
class Scope:
    """The clients that a reader may see, and who that reader is (for the journal).

    `everything` is for the installation itself and for staff of all clients; else `clients` lists
    identifiers, and an empty list sees nothing.
    """

    actor: str
    everything: bool = False
    clients: frozenset[str] = frozenset()

    def sees(self, client: str) -> bool:
        """Whether that client's data is inside."""
        return self.everything or client in self.clients

    def narrowed(self, client: str) -> "Scope":
        """The same reader, looking at one client alone; sees nothing if that client is outside."""
        return Scope(self.actor, clients=frozenset({client} if self.sees(client) else ()))


def system_scope(part: str) -> Scope:
    """The installation itself at work; `part` names which part (`watch`, `alerts`)."""
    return Scope(actor=f"forestall:{part}", everything=True)


NOBODY = Scope(actor="nobody")


def keep_within(scope: Scope) -> None:
    """From here on the database shows and takes rows of these clients alone, until `let_go`: for the request
    (thread or task) that is answered now."""
    _in_reach.set(INSTALLATION if scope.everything else ",".join(sorted(scope.clients)))


def let_go() -> None:
    """The request is over: this thread or task works for the installation again."""
    _in_reach.set(INSTALLATION)


def clients_in_reach() -> str:
    """The identifiers of clients whose rows may be touched now, by commas; INSTALLATION: of all."""
    return _in_reach.get()
