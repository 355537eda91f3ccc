"""Real servers that notifiers talk to: SMTP and HTTP on free ports of the loopback."""

import base64
import threading
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from aiosmtpd.controller import Controller

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()


class _AnyPort(Controller):
    """Listens on a free port and knows which."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """Keeps mails in `inbox`, and in `arrived_s` when each came (monotonic seconds); refuses recipients whose
    address begins with gone (550) or later (451)."""

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.inbox: list[Any] = []
        self.arrived_s: list[float] = []
        self._controller = _AnyPort(self, hostname="127.0.0.1", port=port, **options)

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 no such mailbox"
        if address.startswith("later"):
            return "451 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.arrived_s.append(time.monotonic())
        self.inbox.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


class HookServer:
    """Keeps what was posted in `requests` (headers, body) and answers `status` with `headers`."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?x=1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
