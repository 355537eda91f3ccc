"""The agent of this machine as `forestall up` runs it: the same program as `forestall agent run`."""

import asyncio

from forestall.collect.agent.run import run_agent
from forestall.kernel.signs import Heart
from forestall.processes.setup import Installation


def run(found: Installation) -> None:
    """Look and send until SIGTERM."""
    heart = Heart("agent", found.data.run)
    heart.start()
    asyncio.run(run_agent(found.data.agent))
    heart.stop()
