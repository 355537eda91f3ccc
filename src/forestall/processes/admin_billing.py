"""Billing from the shell: a month's preview, its run, and whether what was issued still is what it was."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from forestall.kernel.errors import Trouble
from forestall.processes.admin_common import Data, Json, shell_scope, show
from forestall.processes.setup import installation

bill_commands = typer.Typer(no_args_is_help=True, help="The month's invoices.")
Period = Annotated[str, typer.Argument(help="The month, for example 2026-11.")]
SHOWN_MAX = 500


@bill_commands.command("preview")
def preview(period: Period, data: Data = None, as_json: Json = False) -> None:
    """What a month costs, with its differences to the month before by name. Changes nothing that was issued.

    Example: forestall bill preview 2026-11
    """
    installation(data)
    from django.utils import timezone

    from forestall.agreements.money import written
    from forestall.invoices.queries import drafts_of
    from forestall.invoices.runs import open_run, reckon
    from forestall.invoices.values import RunState

    scope, now = shell_scope(), timezone.now()
    run = open_run(scope, period, now=now)
    if run.state == RunState.DRAFT:
        reckon(scope, run, now=now, progress=_say(quiet=as_json))
    rows = [
        {
            "client": one.client.name,
            "agreement": one.agreement.number,
            "total": written(one.total_minor, one.currency),
            "before": "-" if one.before_minor is None else written(one.before_minor, one.currency),
            "currency": one.currency,
            "why": one.trouble or "; ".join(one.differences) or "as last month",
        }
        for one in drafts_of(scope, run, limit=SHOWN_MAX)
    ]
    show(
        rows, as_json=as_json, empty="No agreement runs in this month. Make one in the console under Billing."
    )


@bill_commands.command("run")
def bill_run(
    period: Period,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that make papers.")] = 2,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Approve and issue a month. Stopped anywhere and begun again it ends with the same numbers and bytes.

    Example: forestall bill run 2026-11
    """
    installation(data)
    from django.utils import timezone

    from forestall.invoices.queries import balances
    from forestall.invoices.runs import approve, issue, open_run, reckon
    from forestall.invoices.values import RunState

    scope, now = shell_scope(), timezone.now()
    run = open_run(scope, period, now=now)
    if run.state == RunState.DRAFT:
        reckon(scope, run, now=now, progress=_say(quiet=as_json))
        run = approve(scope, run, now=now)
    run = issue(scope, run, now=now, workers=workers, progress=_say(quiet=as_json))
    if run.state == RunState.ISSUING:
        raise Trouble(run.trouble, "Mend it and run again: numbers stay.")
    rows: list[dict[str, Any]] = [
        {
            "currency": one.currency,
            "documents": one.count,
            "net": one.net_minor,
            "tax": one.tax_minor,
            "total": one.total_minor,
            "open": one.open_minor,
        }
        for one in balances(scope, run=run.pk)
    ]
    show(rows, as_json=as_json, empty="There was nothing to bill in this month.")


@bill_commands.command("send")
def send(period: Period, data: Data = None) -> None:
    """Mail the documents of an issued month, each once. What was not mailed is said; exit status 1 then.

    Example: forestall bill send 2026-11
    """
    installation(data)
    from django.utils import timezone

    from forestall.invoices.queries import find_run
    from forestall.invoices.sending import send_run
    from forestall.web.console.billing_changes import by_mail, sender

    scope = shell_scope()
    run = find_run(scope, period)
    if run is None:
        raise Trouble(f"there is no run of {period}", f"Make it: forestall bill run {period}")
    gone, not_sent = send_run(scope, run, now=timezone.now(), send=by_mail, sender=sender())
    print("\n".join([f"{gone} documents were mailed", *(f"not mailed: {one}" for one in not_sent)]))
    raise typer.Exit(1 if not_sent else 0)


@bill_commands.command("statement")
def statement(
    file: Annotated[Path, typer.Argument(help="CAMT.053, or CSV in UTF-8.")],
    currency: Annotated[str, typer.Option(help="Where a CSV says none.")] = "EUR",
    data: Data = None,
) -> None:
    """Match a bank statement with what is open. The same file again changes nothing.

    Example: forestall bill statement november.xml
    """
    installation(data)
    from django.utils import timezone

    from forestall.invoices.actions import take_statement
    from forestall.invoices.bank import read_statement

    try:
        content = file.read_bytes()
    except OSError as error:
        raise Trouble(
            f"{file} cannot be read: {error.strerror}", "Give the path of the statement."
        ) from error
    found = take_statement(shell_scope(), read_statement(content, currency=currency), now=timezone.now())
    print(
        f"{found.taken} new, {found.known} known, {found.settled} settled an invoice,"
        f" {found.waiting} wait for a person"
    )


@bill_commands.command("verify")
def verify(data: Data = None, as_json: Json = False) -> None:
    """Are numbers gapless, and papers and contents what the journal says? Exit status 1 when not."""
    installation(data)
    from forestall.invoices import queries

    wrong = queries.verify(shell_scope())
    if as_json:
        print(json.dumps({"ok": not wrong, "wrong": wrong}))
    else:
        print("\n".join(wrong) or "every document is as it was issued")
    raise typer.Exit(1 if wrong else 0)


def _say(*, quiet: bool) -> Any:
    """Progress on standard error: `14:03:11 made 250 of 1000`."""

    def say(what: str, done: int, total: int) -> None:
        if not quiet:
            typer.echo(f"{datetime.now().astimezone():%H:%M:%S} {what} {done} of {total}", err=True)

    return say
