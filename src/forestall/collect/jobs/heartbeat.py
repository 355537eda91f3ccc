"""Jobs of which nothing is known but that they say when they begin and how they end: no repository."""

from collections.abc import Sequence

from forestall.collect.backups.adapter import RunRead
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="heartbeat",
    title="Heartbeat",
    about="Any job: its exit code, or what it tells to its heartbeat address. Nothing can be proved of its "
    "copies.",
    source="healthchecks.io documentation: Pinging API (start, success, fail, log, exit status)",
    limits="A run that says that it went well, and nothing more: at best level 0 of the ladder of proof.",
    produces=("run",),
)


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """0 is what a program says when it believes that all went well; anything else is not."""
    if code == 0:
        return RunRead("success", "the job ended with 0, which is all that is known of it", version=version)
    last = next((line.strip()[:300] for line in reversed(output.splitlines()) if line.strip()), "")
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    return RunRead("failed", f"the job {how}{f': {last}' if last else ''}", version=version)
