"""Sends numbered syslog lines at a steady rate, over TCP or UDP: a process of its own.

    python tests/e2e/flood.py tcp|udp PORT LINES_A_S SECONDS SOURCE_ADDRESS

Prints how many were sent (TCP: handed to the kernel, and read by the other side before it closed) as JSON.
"""

import json
import socket
import sys
import time
from datetime import UTC, datetime

TICK_S = 0.1


def lines(first: int, count: int) -> list[bytes]:
    """RFC 5424, each with its number and the time."""
    head = f"<134>1 {datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')}Z load flood - - - numbered "
    return [
        f"{head}{number} of the flood from port 514 of the switch\n".encode()
        for number in range(first, first + count)
    ]


def main() -> None:
    how, port, a_s, seconds, source = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4]), sys.argv[5]
    kind = socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM
    sent, began_s = 0, time.monotonic()
    with socket.socket(socket.AF_INET, kind) as out:
        out.bind((source, 0))
        out.connect(("127.0.0.1", port))
        while (passed_s := time.monotonic() - began_s) < seconds:
            due = min(int(passed_s * a_s), int(seconds * a_s)) - sent
            if due <= 0:
                time.sleep(TICK_S / 4)
                continue
            block = lines(sent, min(due, int(a_s * TICK_S) or 1))
            if how == "tcp":
                out.sendall(b"".join(block))
            else:
                for line in block:
                    out.send(line)
            sent += len(block)
        if how == "tcp":
            out.shutdown(socket.SHUT_WR)
            out.settimeout(120)
            out.recv(1)
    print(json.dumps({"sent": sent, "seconds": round(time.monotonic() - began_s, 1)}))


if __name__ == "__main__":
    main()
