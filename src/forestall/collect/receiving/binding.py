"""The sockets of listeners. Each raises Trouble that names the port and the setting to change."""

import contextlib
import errno
import socket
import sys
from typing import Any

from forestall.kernel.errors import Trouble

UDP_BUFFER_BYTES = 8 << 20
BACKLOG = 512
BIND_TRIES = 20

_SO_RCVBUFFORCE = 33  # Linux: past net.core.rmem_max, with CAP_NET_ADMIN


def bind_tcp(host: str, port: int, *, listener: str) -> socket.socket:
    """A TCP socket that listens; port 0 chooses a free one."""
    try:
        with contextlib.ExitStack() as undo:
            tcp = undo.enter_context(_tcp(host, port))
            tcp.listen(BACKLOG)
            undo.pop_all()
            return tcp
    except OSError as error:
        raise _trouble(host, port, listener, error) from error


def bind_udp(host: str, port: int, *, listener: str) -> socket.socket:
    """A UDP socket with a large buffer; port 0 chooses a free one."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        return _udp(family, address)
    except OSError as error:
        raise _trouble(host, port, listener, error) from error


def bind_both(host: str, port: int, *, listener: str) -> tuple[socket.socket, socket.socket]:
    """A TCP socket that listens and a UDP socket on the same port; port 0 chooses one free for both."""
    for attempt in range(BIND_TRIES):
        with contextlib.ExitStack() as undo:
            try:
                tcp = undo.enter_context(_tcp(host, port))
                udp = undo.enter_context(_udp(tcp.family, (host, tcp.getsockname()[1])))
                tcp.listen(BACKLOG)
            except OSError as error:
                if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < BIND_TRIES:
                    continue
                raise _trouble(host, port, listener, error) from error
            undo.pop_all()
            return tcp, udp
    raise AssertionError("unreachable")


def _tcp(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with contextlib.ExitStack() as undo:
        tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(address)
        tcp.setblocking(False)
        undo.pop_all()
        return tcp


def _udp(family: int, address: tuple[Any, ...]) -> socket.socket:
    with contextlib.ExitStack() as undo:
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.bind(address)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
        if sys.platform == "linux":
            with contextlib.suppress(PermissionError):  # then the limit of the system counts
                udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, UDP_BUFFER_BYTES)
        udp.setblocking(False)
        undo.pop_all()
        return udp


def _trouble(host: str, port: int, listener: str, error: OSError) -> Trouble:
    return Trouble(
        f"{listener} cannot listen on {host} port {port}: {error.strerror}",
        f"Stop what uses that port, or choose another with ports.{listener} in forestall.toml.",
    )
