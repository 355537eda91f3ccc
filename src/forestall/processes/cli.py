"""The command line. Errors are one line that says what to do; exit status 0 done, 1 failed, 2 wrong usage."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from forestall import __version__
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Outcome
from forestall.processes.admin import admin
from forestall.processes.admin_backups import backup_commands
from forestall.processes.admin_billing import bill_commands
from forestall.processes.role import ROLES
from forestall.processes.safekeeping import safekeeping
from forestall.processes.setup import installation, locate

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The installation's directory (else FORESTALL_DATA).", metavar="DIR"),
]
PortOffset = Annotated[int, typer.Option("--port-offset", min=0, max=50_000, help="Shifts every port.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Forestall: watch clients' networks, get ahead of trouble, prove that backups restore.",
)
agent = typer.Typer(no_args_is_help=True, help="The agent on a machine, or the collector of a site.")
evidence = typer.Typer(no_args_is_help=True, help="Sealed evidence for an outsider.")
app.add_typer(agent, name="agent")
app.add_typer(evidence, name="evidence")
app.add_typer(bill_commands, name="bill")
for group in admin.registered_groups:
    app.registered_groups.append(group)
for command in (
    *admin.registered_commands,
    *safekeeping.registered_commands,
    *backup_commands.registered_commands,
):
    app.registered_commands.append(command)


@app.command()
def up(
    data: Data = None,
    listen: Annotated[
        str, typer.Option(help="Where the console listens, HOST:PORT.", metavar="HOST:PORT")
    ] = "",
    port_offset: PortOffset = 0,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add living example clients whose faults come and go.")
    ] = False,
) -> None:
    """Everything in one go: sets up on first use, watches this machine at once.

    Examples: forestall up; forestall up --data /srv/forestall --listen 0.0.0.0:8080; forestall up --demo
    """
    from forestall.processes.up import bring_up

    bring_up(data, listen=listen, port_offset=port_offset, demo=demo, roles=ROLES, with_agent=True)


@app.command()
def serve(
    roles: Annotated[list[str], typer.Argument(help=f"Any of {', '.join(ROLES)}.")],
    data: Data = None,
    listen: Annotated[
        str, typer.Option(help="Where the console listens, HOST:PORT.", metavar="HOST:PORT")
    ] = "",
    port_offset: PortOffset = 0,
) -> None:
    """Single roles of the same program, for a larger installation.

    Example: forestall serve web watch
    """
    from forestall.processes.up import bring_up

    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise typer.BadParameter(f"there is no role {unknown[0]!r}; roles are {', '.join(ROLES)}")
    bring_up(data, listen=listen, port_offset=port_offset, demo=False, roles=tuple(roles), with_agent=False)


@agent.command("enrol")
def agent_enrol(
    url: str,
    token: str,
    data: Data = None,
    ca: Annotated[
        Path | None, typer.Option(help="The authority of the server's certificate (PEM).", metavar="FILE")
    ] = None,
) -> None:
    """Exchange a single-use token for this machine's own key. TOKEN "-" reads it from standard input.

    Example: forestall agent enrol https://forestall.example.net 7KQ2…
    """
    from forestall.collect.agent.enrol import enrol

    found = locate(data)
    found.data.create()
    from_input = token == "-"  # noqa: S105 - a dash is no secret
    token = sys.stdin.readline().strip() if from_input else token
    identity = enrol(found.data.agent, url=url, token=token, ca=ca)
    print(f"enrolled as {identity.collector}; start it with: forestall agent run")


@agent.command("run")
def agent_run(data: Data = None) -> None:
    """Look at this machine and send what is seen, until told to stop.

    Example: forestall agent run --data /var/lib/forestall-agent
    """
    from forestall.collect.agent.run import run_agent

    found = locate(data)
    asyncio.run(run_agent(found.data.agent))


@agent.command("job")
def agent_job(
    plan: Annotated[str, typer.Argument(help="The plan's identifier or name, as its page shows it.")],
    command: Annotated[list[str], typer.Argument(help="The job as it is, after --.", metavar="-- COMMAND…")],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="What it backs up, where the plan does not say it; repeated."),
    ] = None,
    hash_within: Annotated[
        float,
        typer.Option("--hash-within", min=1, help="Seconds that hashing the source may take before it."),
    ] = 3_600.0,
    data: Data = None,
) -> None:
    """Run a backup job and see it from beginning to end. Its output and its exit code stay its own.

    Example, in a crontab: forestall agent job "Files" -- restic backup /srv/data
    """
    from forestall.collect.backups.jobs_here import run_job

    try:
        directory = locate(data).data.agent
    except Trouble as trouble:
        print(f"forestall: {trouble}", file=sys.stderr)
        directory = None
    raise typer.Exit(run_job(directory, plan, command, sources=source or (), hashing_s=hash_within))


@app.command()
def report(
    text: Annotated[str, typer.Argument(help="What is wrong; without it a page is opened for it.")] = "",
    email: Annotated[str, typer.Option("--email", help="Of whoever reports, for the answer.")] = "",
    name: Annotated[str, typer.Option("--name", help="Of whoever reports.")] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Of the page; 0: a free one.")] = 0,
    data: Data = None,
) -> None:
    """Report that something is wrong with this machine: in words, or by a small page on 127.0.0.1.

    Example: forestall report "The till is dark since the morning." --email pat@client.example
    """
    from forestall.collect.agent.report_page import ReportPage
    from forestall.collect.agent.reporting import Report, Reports

    directory = locate(data).data.agent
    if not text:
        page = ReportPage(directory, port)
        print(f"open {page.address} in a browser on this machine; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            page.serve_forever()
        return
    reports, told = Reports(directory), Report(text=text, email=email, name=name)
    reports.keep(told)
    print(f"thank you: it is ticket #{reports.send()[told.id]}")


@app.command()
def probe(
    kind: str,
    target: str,
    setting: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, repeated.")] = None,
    credential: Annotated[
        Path | None,
        typer.Option(
            "--credential", help="A file with what to sign in with: lines of NAME=VALUE.", metavar="FILE"
        ),
    ] = None,
    again: Annotated[
        float, typer.Option("--again", help="Ask a second time after so many seconds, for rates.", max=3600)
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """One probe now, from here, with its observations and what the spec makes of them.

    Examples: forestall probe http https://example.org; forestall probe tcp 127.0.0.1:22;
    forestall probe snmp 10.0.0.2 --credential switch.txt --again 30 (switch.txt: community=…, or user=…,
    auth_protocol=SHA256, auth_passphrase=…, privacy_protocol=AES128, privacy_passphrase=…)
    """
    settings = dict(part.partition("=")[::2] for part in setting or [])
    signing_in = _credential_in(credential) if credential else {}
    outcome = asyncio.run(_ask(kind, target, settings, signing_in, again))
    if as_json:
        print(json.dumps(msgspec.to_builtins(outcome), indent=2))
    else:
        print(f"{'ok' if outcome.ok else 'FAILED'}  {outcome.reason}  ({outcome.took_ms:.0f} ms)")
        for sample in outcome.samples:
            print(f"  {sample.metric:28} {sample.item:30} {sample.value:g}")
    raise typer.Exit(0 if outcome.ok else 1)


async def _ask(
    kind: str, target: str, settings: dict[str, str], credential: dict[str, str], again_s: float
) -> Outcome:
    """One answer; with `again_s` the second one, so many seconds after the first."""
    from forestall.collect.asking import ask_once, forgetful
    from forestall.collect.reach import anywhere

    keeper, reach = forgetful(), anywhere()
    first = await ask_once(kind, target, settings, reach, credential=credential, keeper=keeper)
    if not again_s or not first.ok:
        return first
    await asyncio.sleep(again_s)
    return await ask_once(kind, target, settings, reach, credential=credential, keeper=keeper)


def _credential_in(file: Path) -> dict[str, str]:
    """The fields in a file: secrets are never on a command line."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{file} cannot be read: {error}", "Give a file with lines of NAME=VALUE.") from error
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


@app.command("check-spec")
def check_spec(file: Path) -> None:
    """Read a spec pack and say what is wrong with it, with the line and what to write.

    Example: forestall check-spec my-pack.yaml
    """
    from forestall.judge.check import check

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{file} cannot be read: {error}", "Give the path of a YAML file.") from error
    print(check(file.name, text))


@evidence.command("export")
def evidence_export(identifier: str, file: Path, data: Data = None) -> None:
    """Write a sealed bundle, with the proof of its place in the journal, to FILE.

    Example: forestall evidence export 0ABC… evidence.json
    """
    installation(data)
    from forestall.alerts.evidence import export
    from forestall.alerts.models import Evidence
    from forestall.estate.tenancy import system_scope
    from forestall.kernel.clock import SystemClock

    try:
        export(system_scope("shell"), identifier, path=file, now=SystemClock().now())
    except Evidence.DoesNotExist:
        raise Trouble(
            f"there is no evidence {identifier!r}", "Its identifier stands on the alert's page."
        ) from None
    except OSError as error:
        raise Trouble(f"{file} cannot be written: {error.strerror}", "Choose another place.") from error
    print(f"written to {file}; anybody can check it with: forestall evidence verify {file}")


@evidence.command("verify")
def evidence_verify(
    file: Path,
    key: Annotated[
        str, typer.Option(help="The journal's public key (hexadecimal) that you were given before.")
    ] = "",
) -> None:
    """Check a bundle: nothing was altered since it was sealed. Needs no server.

    Example: forestall evidence verify evidence.json
    """
    from forestall.journal.verify import verify

    try:
        verdict = verify(file, trusted_key=bytes.fromhex(key) if key else None)
    except ValueError as error:
        raise Trouble(f"{key!r} is not a key: {error}", "Write its 64 hexadecimal digits.") from error
    print(verdict.says)
    raise typer.Exit(0 if verdict.ok else 1)


@app.command()
def doctor(
    data: Data = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Is this installation itself in spec, and what to do if not.

    Example: forestall doctor
    """
    from forestall.processes.doctor import examine

    checks = examine(locate(data))
    if as_json:
        print(json.dumps([msgspec.to_builtins(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{'ok    ' if check.ok else 'NOT OK'}  {check.what}: {check.found}")
            if not check.ok:
                print(f"        {check.remedy}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def simulate(
    clients: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    seed: int = 1,
    hours: Annotated[
        int, typer.Option(min=1, max=24 * 31, help="Of 6 and more, each client has at least one fault.")
    ] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """A seeded estate with faults on a virtual clock, through production code.

    Example: forestall simulate --clients 50 --seed 1
    """
    from forestall.processes.simulate import run_simulation

    result = run_simulation(clients=clients, seed=seed, hours=hours)
    print(json.dumps(result.as_dict(), indent=2) if as_json else result.text)
    raise typer.Exit(0 if result.ok else 1)


@app.command()
def version() -> None:
    """The version of this program."""
    print(f"forestall {__version__}")


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; trouble is told in one line."""
    try:
        return app(arguments)
    except Trouble as trouble:
        print(f"forestall: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
