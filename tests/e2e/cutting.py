"""Cuts the power of a machine with an installation: every process ends, its disk has what was synced."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from e2e.installation import Installation
from power import PowerDisk

CHECK = """
from django.db import connection, transaction
from forestall.journal.models import Entry
from forestall.journal.queries import last_checkpoint, root, size
from forestall.keeping.checking import root_of
wrong = []
with transaction.atomic():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check(1)")
        said = cursor.fetchone()[0]
    if said != "ok":
        wrong.append(f"the database: {said}")
    counted = root_of(Entry.objects.order_by("seq").values_list("seq", "body", "leaf_hash"))
    if counted != (size(), root()):
        wrong.append(f"the journal: {counted[0]} entries, its head says {size()}")
    checkpoint = last_checkpoint()
    if checkpoint and root(checkpoint.size).hex() not in (bytes(checkpoint.root).hex(), str(checkpoint.root)):
        wrong.append("the journal is not the one that was signed")
return wrong
"""


def verified(up: Installation) -> list[str]:
    """What does not verify: the database's pages, the journal against its head and its last checkpoint."""
    return list(up.desk.ask(CHECK))


def end_all(up: Installation) -> None:
    """SIGKILL to the supervisor and everything that it started."""
    up.desk.close()
    with suppress(psutil.Error):
        supervisor = psutil.Process(up.process.pid)
        everyone = [supervisor, *supervisor.children(recursive=True)]
        for process in everyone:
            with suppress(psutil.Error):
                os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(everyone[1:], timeout=10)
    up.process.wait(10)


def cut_and_start(up: Installation, disk: PowerDisk, *, keep: float, seed: int, output: Path) -> Installation:
    """The power goes and comes back; the installation on the same ports, ready."""
    disk.freeze()
    end_all(up)
    disk.power_on(keep=keep, seed=seed)
    began_s = time.monotonic()
    again = Installation(up.data, offset=up.offset, output=output)
    try:
        again.wait_ready()
    except BaseException:
        again.stop()
        raise
    print(f"ready {time.monotonic() - began_s:.1f} s after the power came back")
    return again
