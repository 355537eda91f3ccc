"""Carries out the ordered deletions of clients: in the watch, or in the command that ordered one."""

import logging
import threading
import time

from django.db import close_old_connections
from django.utils import timezone

from forestall.keeping.deletion import Busy, carry_out
from forestall.keeping.models import Deletion
from forestall.kernel.errors import Trouble
from forestall.processes.setup import Installation
from forestall.telemetry.client import Store

LOOK_EVERY_S = 5.0
RETRY_S = 60.0
WAIT_MOST_S = 3600.0
BUSY_PAUSE_S = 1.0
ERROR_MAX_CHARS = 500

log = logging.getLogger("deleting")


def carry_out_one(found: Installation, store: Store, deletion: Deletion) -> int:
    """Delete the client; the number of the journal entry that certifies it. Raises Trouble, and notes why."""
    try:
        return carry_out(deletion, found.data, store, now=timezone.now)
    except Busy:
        raise
    except Trouble as trouble:
        Deletion.objects.filter(pk=deletion.pk, done_at=None).update(error=str(trouble)[:ERROR_MAX_CHARS])
        raise


def wait_for(found: Installation, store: Store, deletion: Deletion) -> int:
    """Delete the client, or wait until the watch has. Raises Trouble."""
    deadline = time.monotonic() + WAIT_MOST_S
    while True:
        try:
            return carry_out_one(found, store, deletion)
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(BUSY_PAUSE_S)


def run(found: Installation, store: Store, stop: threading.Event) -> None:
    """Until `stop`: what was ordered and is not done."""
    pause_s = LOOK_EVERY_S
    while not stop.wait(pause_s):
        pause_s = LOOK_EVERY_S
        close_old_connections()
        for deletion in Deletion.objects.filter(done_at=None).order_by("ordered_at"):
            try:
                carry_out_one(found, store, deletion)
            except Busy:
                break
            except Trouble as trouble:
                log.warning("a client is not deleted yet: %s", trouble)
                pause_s = RETRY_S
