"""The store role: the process that owns the telemetry."""

from forestall.kernel.signs import Heart
from forestall.processes.setup import Installation
from forestall.telemetry import store_process


def run(found: Installation) -> None:
    """Serve until SIGTERM."""
    heart = Heart("store", found.data.run)
    found.data.key("store")
    store_process.serve(
        found.data.telemetry,
        host="127.0.0.1",
        port=found.config.port("store"),
        memory_bytes=found.config.limits.store_memory_bytes,
        key=found.data.key("store").hex(),
        ready=heart.start,
    )
    heart.stop()
