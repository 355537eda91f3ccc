"""The store's side of the pump: columns into telemetry, again until the store has them."""

import math
import re
import time

from forestall.intake.decode import Decoded
from forestall.intake.values import Refused, TryAgain
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs, insert_samples

# How ClickHouse says that its disk answered EIO (5) or is read-only (30).
DISK_FAILED = re.compile(r"errno: (5|30)\b|Input/output error|Read-only file system")


class Storing:
    """A `intake.sides.StoreSide`. `ready`: the tables are there. `disk_failed_at` (time.monotonic): when the
    store last said that its disk fails."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._vocabulary = Vocabulary(store)
        self.ready = False
        self.disk_failed_at = -math.inf

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
            if DISK_FAILED.search(str(error)):
                self.disk_failed_at = time.monotonic()
            raise TryAgain(f"the store: {error}") from error
        except StoreRefused as error:
            raise Refused(f"the store: {error}") from error
