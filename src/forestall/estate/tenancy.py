"""The tenancy gate: whose data a reader sees. Every read of tenant data is handed a `Scope`."""

from dataclasses import dataclass


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
