"""Long work on files, in threads that stand back behind all else and end when nobody waits for them."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS_MAX = 3
T = TypeVar("T")
Going = Callable[[], bool]  # False: end as soon as possible


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


_threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="backups", initializer=_stand_back)


async def in_background(work: Callable[[Going], T]) -> T:
    """What `work` returns; it is told by its argument when whoever waits was cancelled."""
    stopped = threading.Event()
    try:
        return await asyncio.get_running_loop().run_in_executor(
            _threads, lambda: work(lambda: not stopped.is_set())
        )
    finally:
        stopped.set()
