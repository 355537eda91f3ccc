"""A real rsyslogd and a real `logger` on another host send to an installation, over TCP and UDP: every line
is found, and is shown as that host's, of the client that it belongs to."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from contract.daemons import wait_until
from e2e.installation import Installation, installed, poll
from e2e.machines import Host, host_on_a_wire

pytestmark = pytest.mark.e2e

CLIENT, ASSET = "Birch Bakery", "bakery-firewall"
LINES = 5
ARRIVES_WITHIN_S = 60.0
ROUTED_WITHIN_S = 60.0
CONFIGURATION = """
global(workDirectory="{home}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{home}/log")
if $programname == "over-tcp" then
  action(type="omfwd" target="{host}" port="{port}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format")
if $programname == "over-udp" then
  action(type="omfwd" target="{host}" port="{port}" protocol="udp" template="RSYSLOG_ForwardFormat")
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with host_on_a_wire() as made:
        yield made


@pytest.fixture(scope="module")
def up(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that listens for syslog on the wire to that host too, and knows whose it is."""
    data = tmp_path_factory.mktemp("forwarding") / "data"
    data.mkdir(mode=0o700)
    (data / "forestall.toml").write_text('syslog_host = "0.0.0.0"\n')
    with installed(data) as started:
        started.cli("client", "add", CLIENT)
        started.cli("asset", "add", ASSET, "--client", CLIENT, "--kind", "firewall", "--address", host.far)
        say = logger(started, host, "-d")
        numbers = iter(range(1_000_000))

        def known() -> bool:
            say("first", f"knock {next(numbers)}")
            return bool(started.found_lines("knock"))

        poll(known, within_s=ROUTED_WITHIN_S, what="the first line of the new host", every_s=1)
        yield started


def logger(up: Installation, host: Host, transport: str) -> Callable[[str, str], None]:
    """`logger` on the host, to the installation. `transport` is -d (UDP) or -T (TCP)."""
    to = ["-n", host.near, "-P", str(up.port("syslog")), transport]
    return lambda tag, words: run(*host.inside("logger", *to, "-t", tag, words))


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextmanager
def rsyslogd(up: Installation, host: Host, home: Path) -> Iterator[Callable[[str, str], None]]:
    """rsyslogd on the host with a configuration of its own; what it is told, it forwards."""
    home.mkdir()
    configuration = home / "rsyslog.conf"
    configuration.write_text(CONFIGURATION.format(home=home, host=host.near, port=up.port("syslog")))
    command = host.inside("rsyslogd", "-n", "-f", configuration, "-i", home / "rsyslogd.pid")
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until((home / "log").exists, what="rsyslogd", process=daemon)
        yield lambda tag, words: run("logger", "-u", str(home / "log"), "-t", tag, words)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)


def test_forwarded_lines_are_found_with_their_client_and_asset(up, host, tmp_path):
    with ExitStack() as stack:
        forward = stack.enter_context(rsyslogd(up, host, tmp_path / "rsyslog"))
        ways = {
            "rsyslogd over TCP": ("over-tcp", forward),
            "rsyslogd over UDP": ("over-udp", forward),
            "logger over TCP": ("logger-tcp", logger(up, host, "-T")),
            "logger over UDP": ("logger-udp", logger(up, host, "-d")),
        }
        for way, (tag, say) in ways.items():
            delays_s = [delay_of(up, say, tag, f"{tag} loaf {number}") for number in range(LINES)]
            print(f"{way}: found after {statistics.median(delays_s):.2f} s ({max(delays_s):.2f} s at most)")
    found = [json.loads(line) for line in up.cli("logs", "loaf", "--json").splitlines()]
    expected = [f"{tag} loaf {number}" for tag, _ in ways.values() for number in range(LINES)]
    assert sorted(line["message"] for line in found) == sorted(expected)
    assert {(line["client"], line["asset"]) for line in found} == {(CLIENT, ASSET)}
    assert all(line["message"].startswith(line["source"]) for line in found)
    assert len(up.cli("logs", "loaf", "--json", "--client", CLIENT).splitlines()) == len(expected)
    assert up.cli("logs", "loaf", "--json", "--client", "Our own network") == ""


def delay_of(up: Installation, say: Callable[[str, str], None], tag: str, words: str) -> float:
    """How long until a search finds the line that is said now (seconds)."""
    said_s = time.monotonic()
    say(tag, words)
    poll(lambda: up.found_lines(f'"{words}"'), within_s=ARRIVES_WITHIN_S, what=words, every_s=0.02)
    return time.monotonic() - said_s


def test_what_this_machine_says_is_its_own(up):
    run("logger", "-n", "127.0.0.1", "-P", str(up.port("syslog")), "-d", "-t", "here", "oven at home")
    poll(lambda: up.found_lines('"oven at home"'), within_s=ARRIVES_WITHIN_S, what="a line of this machine")
    (line,) = [json.loads(line) for line in up.cli("logs", '"oven at home"', "--json").splitlines()]
    machine = up.desk.ask(
        "from forestall.estate.first_use import own_machine\nmachine = own_machine()\n"
        "return [machine.client.name, machine.name]"
    )
    assert [line["client"], line["asset"]] == machine
