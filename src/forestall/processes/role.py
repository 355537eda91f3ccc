"""`python -m forestall.processes.role NAME`: one role in a process of its own."""

import faulthandler
import logging
import os
import signal
import sys

from forestall.kernel.errors import Trouble
from forestall.processes.setup import locate

ROLES = ("store", "watch", "web", "guard")  # in the order in which they are started


def run_role(name: str) -> int:
    """Run a role until it is told to stop; its exit status."""
    faulthandler.enable()
    logging.basicConfig(level=os.environ.get("FORESTALL_LOG", "WARNING"), format=f"{name}: %(message)s")
    try:
        found = locate()
        match name:
            case "store":
                from forestall.processes import store

                store.run(found)
            case "watch":
                from forestall.processes import watch

                watch.run(found)
            case "web":
                from forestall.processes import web

                web.run(found)
            case "guard":
                from forestall.processes import guard

                guard.run(found)
            case "agent":  # not one of ROLES: it is no part of the server
                from forestall.processes import agent

                agent.run(found)
            case _:
                raise Trouble(f"there is no role {name!r}", f"Roles are {', '.join(ROLES)}.")
    except Trouble as trouble:
        print(f"forestall {name}: {trouble}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides when the roles end
    sys.exit(run_role(sys.argv[1] if len(sys.argv) > 1 else ""))
