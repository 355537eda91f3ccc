"""Django's PostgreSQL engine, which tells the server whose rows the statement that follows may touch.

The walls themselves are policies on the tables (keeping.walls). What they compare with is a setting of the
session; it is set anew before any statement of a reader other than the last one's, and after every rollback,
which takes settings back too. Why not once a transaction: docs/decisions/0030-walls.md.
"""

from typing import Any

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from forestall.estate.tenancy import SETTING, clients_in_reach


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that remembers which clients the server was told of."""

    _said: str | None = None  # None: nothing is known of what the session has

    def init_connection_state(self) -> None:
        """A new session was told nothing."""
        self._said = None
        super().init_connection_state()

    def create_cursor(self, name: str | None = None) -> Any:
        """A cursor whose statements see the reader's clients."""
        reach = clients_in_reach()
        connection = self.connection
        if reach != self._said and connection.info.transaction_status != TransactionStatus.INERROR:
            connection.execute("SELECT set_config(%s, %s, false)", (SETTING, reach))
            self._said = reach
        return super().create_cursor(name)

    def _rollback(self) -> None:
        self._said = None
        super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self._said = None
