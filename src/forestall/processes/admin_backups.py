"""Backup plans from the shell: how they stand, and a drill now."""

import json
import time
from datetime import timedelta
from typing import Annotated, Any

import typer

from forestall.kernel.errors import Trouble
from forestall.processes.admin_common import Data, Json, client_called, shell_scope, show
from forestall.processes.setup import installation

POLL_S = 0.5
FETCHED_WITHIN_S = 120.0  # a collector asks for its work every 15 s
LISTED_MAX = 500

backup_commands = typer.Typer()


@backup_commands.command("plans")
def plans(client: str = "", data: Data = None, as_json: Json = False) -> None:
    """All backup plans and what is proved of them, the worst first.

    Example: forestall plans --client "Fairway Legal"
    """
    installation(data)
    from forestall.backups.queries import board

    owner = client_called(client).pk if client else ""
    rows = [
        {
            "id": one.plan_id,
            "client": one.client.name,
            "asset": one.plan.asset.name,
            "plan": one.plan.name,
            "tool": one.plan.tool,
            "level": one.level if one.level >= 0 else "-",
            "proved_at": one.proved_at.isoformat(timespec="minutes") if one.proved_at else "never",
            "wrong": one.rule,
        }
        for one in board(shell_scope(), client=owner, limit=LISTED_MAX)[:LISTED_MAX]
    ]
    show(rows, as_json=as_json, empty="There is no backup plan yet. Make one in the console under Backups.")


@backup_commands.command("drill")
def drill(
    plan: Annotated[str, typer.Argument(help="The plan's identifier, or its name.")],
    work: Annotated[
        str, typer.Option(help="look, check, read, drill, service or elsewhere.", metavar="WORK")
    ] = "drill",
    client: Annotated[str, typer.Option(help="Whose plan, where a name is not enough.")] = "",
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    most: Annotated[float, typer.Option("--most", min=1, help="Hours to follow it at most.")] = 24.0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """A restore drill now: the newest copy is restored and compared with what was taken at the source.

    Exit status 0 when it is proved, 1 when it is not. Example: forestall drill Files --client "Fairway Legal"
    """
    installation(data)
    from django.utils import timezone

    from forestall.backups.actions import want_work

    found = _plan_called(plan, client)
    proof = want_work(shell_scope(), found, work=work, now=timezone.now())  # type: ignore[arg-type]
    if not wait:
        print(json.dumps({"proof": proof}) if as_json else f"wanted as {proof}: the collector does it next")
        return
    if work == "look":
        raise typer.Exit(_follow_look(found, as_json=as_json))
    raise typer.Exit(_follow(found, proof, most_s=most * 3600, as_json=as_json))


def _plan_called(word: str, client: str) -> Any:
    """A plan by identifier or name. Raises Trouble."""
    from forestall.backups.queries import find_plan_by_word

    owner = client_called(client).pk if client else ""
    found = [one for one in find_plan_by_word(shell_scope(), word) if not owner or one.client_id == owner]
    if len(found) != 1:
        raise Trouble(
            f"there are {len(found)} plans called {word!r}" if found else f"there is no backup plan {word!r}",
            "Give its identifier, or --client. See forestall plans.",
        )
    return found[0]


def _follow(plan: Any, proof: str, *, most_s: float, as_json: bool) -> int:
    """Say how far it is until it ended; the exit status. Raises Trouble when nobody does it."""
    from forestall.backups.queries import find_proof, progress_of

    scope, began, said = shell_scope(), time.monotonic(), ""
    while True:
        ended = find_proof(scope, proof)
        if ended is not None:
            return _say_proof(ended[1], as_json=as_json)
        going = next((one for one in progress_of(scope, plan.pk) if one.proof == proof), None)
        if going is not None and not as_json:
            share = f" {100 * going.done // going.total} %" if going.total else ""
            if f"{going.doing}{share}" != said:
                said = f"{going.doing}{share}"
                print(said, flush=True)
        waited_s = time.monotonic() - began
        if going is None and not said and waited_s > FETCHED_WITHIN_S:
            raise Trouble(
                f"the collector of {plan.name} has not begun after {FETCHED_WITHIN_S:.0f} s",
                f"{_seen(plan)} The drill stays wanted: it begins when the collector is back and free.",
            )
        if waited_s > most_s:
            raise Trouble(f"{plan.name} is not done after {most_s / 3600:g} h", "See the plan's page.")
        time.sleep(POLL_S)


def _follow_look(plan: Any, *, as_json: bool) -> int:
    """A look makes no proof: what it found is the newest look."""
    from django.utils import timezone

    from forestall.backups.queries import newest_look
    from forestall.kernel.clock import to_ms

    since_ms, began = to_ms(timezone.now() - timedelta(seconds=1)), time.monotonic()
    while time.monotonic() - began < FETCHED_WITHIN_S + 900:
        found = newest_look(shell_scope(), plan.pk)
        if found is not None and found.at_ms >= since_ms:
            said = {"opened": found.opened, "copies": found.copies_total, "reason": found.reason}
            text = f"{found.copies_total} copies" if found.opened else f"not opened: {found.reason}"
            print(json.dumps(said) if as_json else text)
            return 0 if found.opened else 1
        time.sleep(POLL_S)
    raise Trouble(f"nobody has looked into {plan.name}", _seen(plan))


def _say_proof(report: Any, *, as_json: bool) -> int:
    if as_json:
        print(
            json.dumps(
                {
                    "proof": report.proof, "ok": report.ok, "skipped": report.skipped,
                    "reason": report.reason, "copy": report.copy, "files_equal": report.files_equal,
                    "files_expected": report.files_expected, "rpo_ms": report.rpo_ms,
                    "rto_ms": report.rto_ms,
                }
            )
        )  # fmt: skip
    else:
        how = "proved" if report.ok else ("could not be tried" if report.skipped else "NOT proved")
        print(f"{how}: {report.reason}")
        for one in report.checks:
            print(f"  {'ok    ' if one.ok else 'FAILED'}  {one.name}: {one.said}")
        for one in report.mismatches[:20]:
            print(f"  {one.what}: {one.path}")
    return 0 if report.ok else 1


def _seen(plan: Any) -> str:
    """Whether the collector lives, for what to do."""
    if plan.collector is None:
        return "Choose a collector in the plan."
    seen = plan.collector.last_seen_at
    name = plan.collector.asset.name
    return (
        f"{name} was last heard {seen:%Y-%m-%d %H:%M} UTC." if seen else f"{name} was never heard: start it."
    )
