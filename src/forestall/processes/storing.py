"""The store's side of the pump: columns into telemetry, again until the store has them."""

from forestall.intake.decode import Decoded
from forestall.intake.values import Refused, TryAgain
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs, insert_samples


class Storing:
    """A `intake.sides.StoreSide`. `ready`: the tables are there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._vocabulary = Vocabulary(store)
        self.ready = False

    def write(self, decoded: Decoded, token: str) -> None:
        """Raises TryAgain when the store is down, Refused when it will never take this."""
        try:
            if not self.ready:
                self._store.ensure_schema()
                self.ready = True
            insert_logs(self._store, decoded.logs, token=f"{token}/logs", vocabulary=self._vocabulary)
            insert_samples(self._store, decoded.samples, token=f"{token}/samples")
        except StoreUnavailable as error:
            self.ready = False
            raise TryAgain(f"the store: {error}") from error
        except StoreRefused as error:
            raise Refused(f"the store: {error}") from error
