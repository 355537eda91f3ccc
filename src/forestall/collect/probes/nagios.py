"""Runs a Nagios plugin that is installed at the collector, and reads its verdict and its numbers."""

import asyncio
import contextlib
import ipaddress
import os
import shlex
import signal
import stat
from pathlib import Path

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, printable
from forestall.collect.perfdata import read_perfdata, split_output
from forestall.collect.reach import Reach
from forestall.kernel.plugins import Setting, Spec

OUTPUT_MAX_BYTES = 16 << 10
ARGUMENTS_MAX = 64
STATES = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}
HOST_OPTIONS = ("-H", "--hostname", "--host", "-I", "--IPaddress")

SPEC = Spec(
    name="nagios",
    title="Nagios plugin",
    about="Runs a plugin that is installed at the collector. The target is its name and its arguments.",
    source="Monitoring Plugins Development Guidelines",
    settings=(Setting("warning", "A warning", "choice", default="fails", choices=("fails", "passes")),),
    limits="Only from the collector's plugin folders: the harmless ones of /usr/lib/nagios/plugins, and all "
    "in the folder that the collector's own settings name. No shell. Hosts after -H and addresses are held "
    "to the site's ranges; other arguments are the plugin's own affair. No secrets in arguments.",
    produces=("probe.up", "probe.took_ms", "nagios.*"),
)


def find_plugin(name: str, reach: Reach) -> Path:
    """The executable of a plugin. Raises NotAsked with why it is not run."""
    if not reach.plugins:
        raise NotAsked("the server runs no plugins: let a collector at the site run this one")
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise NotAsked(f"{name!r} is not the name of a plugin; write for example check_disk -w 10% -p /")
    known = False
    for folder, allowed in reach.plugins.items():
        try:
            home = folder.resolve(strict=True)
            path = (home / name).resolve(strict=True)
            facts = path.stat()
        except OSError:
            continue
        known = True
        if allowed is not None and name not in allowed:
            continue
        if path.parent != home or not stat.S_ISREG(facts.st_mode) or not os.access(path, os.X_OK):
            raise NotAsked(f"{folder / name} is not a program inside that folder")
        if facts.st_mode & stat.S_IWOTH or facts.st_uid not in {0, os.getuid()}:
            raise NotAsked(
                f"{folder / name} can be changed by others: it must belong to root or to this user"
            )
        return path
    if known:
        raise NotAsked(
            f"{name} is not among the plugins that every collector may run: its administrator can put it "
            "into the collector's own plugin folder"
        )
    raise NotAsked(f"there is no plugin {name} in {' or '.join(str(folder) for folder in reach.plugins)}")


def read_command(target: str) -> list[str]:
    """Name and arguments. Raises NotAsked."""
    try:
        words = shlex.split(target)
    except ValueError as error:
        raise NotAsked(f"{target!r} cannot be read: {error}") from error
    if not words or len(words) > ARGUMENTS_MAX:
        raise NotAsked(f"write the plugin's name and at most {ARGUMENTS_MAX - 1} arguments")
    return words


def hosts_of(arguments: list[str]) -> list[str]:
    """The hosts among the arguments: what stands after -H and the like, and every address."""
    hosts = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        option, equals, value = word.partition("=")
        if before in HOST_OPTIONS and not word.startswith("-"):
            hosts.append(word)
        elif equals and option in HOST_OPTIONS:
            hosts.append(value)
        elif word[:2] in HOST_OPTIONS and len(word) > 2:
            hosts.append(word[2:])
        else:
            with contextlib.suppress(ValueError):
                ipaddress.ip_address(word.strip("[]"))
                hosts.append(word)
    return hosts


async def _run(path: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit code and output (standard error when that is empty). Its whole process group ends with us."""
    process = await asyncio.create_subprocess_exec(
        str(path),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"},
        cwd="/",
        start_new_session=True,
    )
    assert process.stdout and process.stderr
    done = False
    try:
        output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
        code = await process.wait()
        done = True
    finally:
        if not done:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return code, printable(output if output.strip() else errors, OUTPUT_MAX_BYTES)


async def _read(pipe: asyncio.StreamReader) -> bytes:
    """Until its end; what is beyond OUTPUT_MAX_BYTES is read and forgotten."""
    kept = b""
    while data := await pipe.read(OUTPUT_MAX_BYTES):
        kept += data[: OUTPUT_MAX_BYTES - len(kept)]
    return kept


async def probe(question: Question, reach: Reach) -> Answer:
    """Run the plugin."""
    name, *arguments = read_command(question.target)
    path = find_plugin(name, reach)
    for host in hosts_of(arguments):
        await reach.resolve(host)
    question.doing(f"running {name}")
    try:
        code, output = await _run(path, arguments)
    except OSError as error:
        raise NotAsked(f"{name} cannot be run: {error.strerror or error}") from error
    first, _, perfdata = split_output(output)
    numbers = [Number(number.metric, number.value) for number in read_perfdata(perfdata)]
    state = STATES.get(code)
    raw = f"exit code {code}\n{output}"
    if state is None:
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise NoAnswer(f"{name} ended with {why}, which is no verdict: {first or 'no output'}", raw=raw)
    passes = ("OK", "WARNING") if question.settings["warning"] == "passes" else ("OK",)
    words = first if state.lower() in first.lower() else f"{state}: {first or 'no output'}"
    return Answer(state in passes, f"{name} says {words}", raw, numbers)
