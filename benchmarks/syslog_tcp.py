"""Syslog over TCP into a whole installation: durable, decoded, judged, searchable.

    python benchmarks/syslog_tcp.py CORPUS [--connections N] [--repeat N]

Starts `forestall up` on an empty directory, gives it an asset with the sender's address, sends CORPUS (RFC
5424, a line each) over N connections as fast as they are read, and waits until the store has every line.
Prints JSON: lines a second (sent, and until all are searchable), CPU seconds a million lines of each role
(the sender is not counted, merges that still run are waited for), bytes a line, lines that are missing.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from e2e.installation import Installation, installed

SENDER = """
import socket, sys
port, path, begin, end, repeat = sys.argv[1:]
with open(path, "rb") as file:
    file.seek(int(begin))
    data = file.read(int(end) - int(begin))
with socket.create_connection(("127.0.0.1", int(port)), source_address=("127.0.0.9", 0)) as stream:
    for _ in range(int(repeat)):
        stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)
"""
CHUNK = 4 << 20
QUIET_S = 12.0  # longer than merges wait for quiet (telemetry/merging.py)


def cut(path: Path, parts: int) -> list[tuple[int, int]]:
    """Stretches of whole lines."""
    size = path.stat().st_size
    marks = [0]
    with path.open("rb") as file:
        for part in range(1, parts):
            file.seek(size * part // parts)
            file.readline()
            marks.append(file.tell())
    return list(zip(marks, [*marks[1:], size], strict=True))


def roles(installation: Installation) -> dict[str, psutil.Process]:
    found = {}
    for name in ("web", "watch", "store", "guard"):
        if pid := installation.role(name).get("pid"):
            found[name] = psutil.Process(int(pid))
    return found


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def warm_up(installation: Installation, corpus: Path) -> None:
    """What is compiled or read once is not counted."""
    with corpus.open("rb") as file:
        lines = b"".join(file.readline() for _ in range(20_000))
    address = ("127.0.0.1", installation.port("syslog"))
    with socket.create_connection(address, source_address=("127.0.0.9", 0)) as stream:
        stream.sendall(lines)
        stream.shutdown(socket.SHUT_WR)
        stream.recv(1)
    time.sleep(5)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    with given.corpus.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b"")) * given.repeat
    with tempfile.TemporaryDirectory() as directory, installed(Path(directory) / "data") as running:
        running.cli("client", "add", "Benchmark")
        running.cli(
            "asset", "add", "Sender", "--client", "Benchmark", "--kind", "server", "--address", "127.0.0.9"
        )
        time.sleep(12)  # until the directory of senders is read again
        store = (
            "from forestall.telemetry.client import Store\n"
            f'store = Store("127.0.0.1", {running.port("store")}, password=found.data.key("store").hex())\n'
        )
        asked = store + "return [int(v) for v in store.select('SELECT count() FROM forestall.logs')[0]]"
        warm_up(running, given.corpus)
        before = running.desk.ask(asked)[0]
        processes = roles(running)
        began_s, used = time.monotonic(), {name: cpu_s(process) for name, process in processes.items()}
        command = [sys.executable, "-c", SENDER, str(running.port("syslog")), str(given.corpus)]
        senders = [
            subprocess.Popen([*command, str(begin), str(end), str(given.repeat)])
            for begin, end in cut(given.corpus, given.connections)
        ]
        for sender in senders:
            sender.wait()
        sent_s = time.monotonic() - began_s
        there = 0
        while there < lines and time.monotonic() - began_s < 60 + lines / 20_000:
            there = running.desk.ask(asked)[0] - before
            time.sleep(0.1)
        took_s = time.monotonic() - began_s
        quiet_at = time.monotonic() + QUIET_S
        merging = store + "return int(store.select('SELECT count() FROM system.merges')[0][0])"
        while time.monotonic() < quiet_at:
            if running.desk.ask(merging):
                quiet_at = time.monotonic() + QUIET_S
            time.sleep(0.3)
        million = lines / 1e6
        spent = {
            name: round((cpu_s(process) - used[name]) / million, 2) for name, process in processes.items()
        }
        sized = store + (
            'return [float(v) for v in store.select("SELECT sum(bytes_on_disk), count() FROM system.parts'
            " WHERE database = 'forestall' AND table IN ('logs', 'vocabulary') AND active\")[0]]"
        )
        size, parts = running.desk.ask(sized)
        figures = {
            "lines": lines,
            "lines_a_s_sent": round(lines / sent_s),
            "lines_a_s_until_searchable": round(lines / took_s),
            "cpu_s_a_million": {**spent, "all": round(sum(spent.values()), 2)},
            "bytes_a_line": round(size / lines, 2),
            "parts": int(parts),
            "missing": lines - there,
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
