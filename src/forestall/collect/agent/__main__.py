"""`python -m forestall.collect.agent enrol URL TOKEN`, `… run` and `… job PLAN -- COMMAND`: the agent alone,
for machines on which nothing else of Forestall is installed (docs/agent.md). As `forestall agent …`."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.run import run_agent
from forestall.kernel.config import data_dir
from forestall.kernel.errors import Trouble


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 it failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="forestall-agent", description="Forestall's agent.")
    commands = parser.add_subparsers(dest="command", required=True)
    enrolling = commands.add_parser("enrol", help="exchange a single-use token for this machine's own key")
    enrolling.add_argument("url")
    enrolling.add_argument("token", help='"-" reads it from standard input')
    enrolling.add_argument("--ca", type=Path, help="the authority of the server's certificate (PEM)")
    running = commands.add_parser("run", help="look at this machine and send what is seen")
    job = commands.add_parser("job", help="run a backup job: … job PLAN -- restic backup /srv/data")
    job.add_argument("plan", help="the plan's identifier or name")
    job.add_argument("--source", action="append", help="what it backs up, where the plan does not say it")
    job.add_argument("job", nargs="+", metavar="-- COMMAND", help="the job as it is; its exit code is ours")
    for command in (enrolling, running, job):
        command.add_argument("--data", type=Path, help="the agent's directory (else FORESTALL_DATA)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=os.environ.get("FORESTALL_LOG", "WARNING"), format="agent: %(message)s")
    data = data_dir(given.data)
    try:
        if given.command == "enrol":
            token = sys.stdin.readline().strip() if given.token == "-" else given.token  # noqa: S105
            identity = enrol(data.agent, url=given.url, token=token, ca=given.ca)
            print(f"enrolled as {identity.collector}; start it with: forestall agent run")  # noqa: T201
        elif given.command == "job":
            from forestall.collect.backups.jobs_here import run_job

            return run_job(data.agent, given.plan, given.job, sources=given.source or ())
        else:
            asyncio.run(run_agent(data.agent))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
