"""The web role: console, API and the doors of the intake over HTTP, under uvicorn."""

import os

import uvicorn

from forestall.kernel.signs import Heart
from forestall.processes.setup import Installation, start_django

GRACE_S = 5


def run(found: Installation) -> None:
    """Serve until SIGTERM."""
    start_django()
    os.environ.setdefault("FORESTALL_QUEUE", "web")
    from forestall.web.asgi import application

    heart = Heart("web", found.data.run, numbers=application.numbers)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=found.config.host,
            port=found.config.port("web"),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            lifespan="on",
            ws="none",
        )
    )
    started = server.startup

    async def startup(sockets: object = None) -> None:
        await started(sockets)  # type: ignore[arg-type]
        heart.start()

    server.startup = startup  # type: ignore[method-assign]
    server.run()
    heart.stop()
