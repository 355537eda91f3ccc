"""The agent in a real process in which what Windows and macOS lack cannot be imported, and in which nothing
is installed but what docs/agent.md lists."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions, requires
from pathlib import Path

import pytest

from contract.daemons import free_port
from forestall.collect.agent.identity import Identity, write_identity
from forestall.collect.agent.spool import Spool

ROOT = Path(__file__).parents[2]
LACKING = {
    "win32": ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog", "crypt", "spwd"),
    "darwin": ("spwd", "ossaudiodev", "msvcrt", "winreg"),
}
UNIX_OS = "killpg getuid geteuid getgid setsid uname statvfs getloadavg fork sched_getaffinity pread"
UNIX_SIGNALS = "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE SIGALRM"
WITHOUT = {  # what Python on that platform does not have in its own modules
    "win32": {"os": UNIX_OS.split(" "), "signal": UNIX_SIGNALS.split(" ")},
    "darwin": {"os": ["sched_getaffinity"]},
}
PROGRAM = """
import sys, json, asyncio
given = json.loads(sys.argv[1])
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in given["blocked"]:
            raise ModuleNotFoundError(f"No module named {top!r} (blocked)", name=top)
sys.meta_path.insert(0, NotInstalled())
# what others need of the real platform is imported before it is taken away
import psutil, httpx, subprocess, tempfile, selectors, dns.asyncresolver, cryptography, importlib.metadata
import os, signal, socket
for name in given["lacking"]:
    sys.modules[name] = None
for module, names in given["without"].items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
if given["platform"] == "win32":
    import types
    import ssl
    ssl.enum_certificates = lambda store: []
    sys.modules["msvcrt"] = types.SimpleNamespace(locking=lambda *_: None, LK_NBLCK=2)
class Loop(asyncio.SelectorEventLoop):
    def add_signal_handler(self, *_):
        raise NotImplementedError
sys.platform = given["platform"]
from pathlib import Path
from forestall.collect.agent.run import run_agent
from forestall.collect.agent import __main__, enrol
from forestall.collect.probes import tcp
from forestall.kernel.datadir import DataDir
directory = Path(given["directory"])
async def life():
    loop = asyncio.get_running_loop()
    loop.call_later(2.0, signal.raise_signal, signal.SIGTERM)
    await run_agent(directory)
with asyncio.Runner(loop_factory=Loop if given["platform"] == "win32" else None) as runner:
    runner.run(life())
print(json.dumps({
    "modules": sorted(name for name in sys.modules if sys.modules[name] is not None and "." not in name),
    "rss_bytes": psutil.Process().memory_info().rss,
}))
"""


def live(tmp_path: Path, *, platform: str = "linux", blocked: list[str] | None = None) -> dict[str, object]:
    """Two seconds of an agent's life, until SIGTERM; what it had imported at the end."""
    told = {
        "platform": platform,
        "lacking": LACKING.get(platform, []),
        "without": WITHOUT.get(platform, {}),
        "blocked": blocked or [],
        "directory": str(tmp_path / "agent"),
    }
    url = f"http://127.0.0.1:{free_port()}"  # nobody answers there
    write_identity(tmp_path / "agent", Identity("C" * 13, "K" * 13, "A" * 13, url, "07" * 32))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(told)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def spooled(tmp_path: Path) -> int:
    return len(Spool(tmp_path / "agent/spool", now_ms=1))


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_agent_lives_without_what_that_platform_lacks(tmp_path: Path, platform: str) -> None:
    modules = live(tmp_path, platform=platform)["modules"]
    assert spooled(tmp_path) >= 1, "what it saw is kept while its server is away"
    assert not set(LACKING[platform]) & set(modules)  # type: ignore[call-overload]


def needed() -> list[str]:
    """The distributions of the agent alone, as pyproject.toml lists them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [one.partition("~")[0].partition("=")[0].strip().lower() for one in groups["agent"]]


def test_the_agent_needs_only_what_is_listed(tmp_path: Path) -> None:
    installed = {one.name.lower() for one in distributions()}

    def closure(names: list[str]) -> set[str]:
        found: set[str] = set()
        while names:
            name = names.pop()
            if name in found:
                continue
            found.add(name)
            if name not in installed:
                continue
            names += [
                re.match(r"[\w.-]+", one)[0].lower()  # type: ignore[index]
                for one in requires(name) or []
                if "extra ==" not in one
            ]
        return found

    allowed = closure(needed())
    blocked = [
        top for top, owners in packages_distributions().items()
        if not {owner.lower() for owner in owners} & allowed and top not in {"forestall", "_virtualenv"}
    ]  # fmt: skip
    assert {"django", "numpy", "typer", "yaml", "asyncssh", "psycopg"} <= set(blocked)
    told = live(tmp_path, blocked=blocked)
    assert spooled(tmp_path) >= 1
    assert not {"django", "numpy", "pyarrow", "numba", "chdb"} & set(told["modules"])  # type: ignore[call-overload]
