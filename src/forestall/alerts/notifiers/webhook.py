"""Tell another program: a signed HTTP POST of JSON, as Standard Webhooks says."""

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forestall import __version__
from forestall.alerts.addresses import AddressRefused, resolve
from forestall.alerts.values import Message, SendFailed
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 10.0
ANSWER_MAX_BYTES = 4096
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that the standard gives to secrets
TRY_AGAIN = frozenset({401, 403, 404, 408, 409, 421, 423, 425, 429})  # 4xx that somebody may mend

SPEC = Spec(
    name="webhook",
    title="Signed webhook",
    about="Posts JSON to an address of yours, signed, so that the receiver knows who sent it.",
    source="https://www.standardwebhooks.com (webhook-id, webhook-timestamp, webhook-signature v1)",
    settings=(
        Setting("url", "Address", required=True, help="write https://… (or http://… inside a network)"),
        Setting(
            "secret",
            "Secret",
            kind="secret",
            required=True,
            help="give the secret that you share with the receiver: whsec_ and base64, or any text",
        ),
        Setting("allow_private", "Private addresses are allowed", kind="yes_no", default=False),
    ),
    limits=f"An attempt takes at most {TIMEOUT_S:g} s. Redirections are not followed.",
)


def send(settings: Mapping[str, Any], message: Message) -> None:
    """Post the message. Raises SendFailed; permanent when the receiver says that this one is wrong."""
    body = json.dumps(
        {"type": f"alert.{message.step}", "timestamp": message.at, "data": msgspec.to_builtins(message)},
        sort_keys=True,
    ).encode()
    at_s = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": f"Forestall/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(settings["secret"], message.id, at_s, body),
        "idempotency-key": message.id,
    }
    status, said = _post(settings["url"], body, headers, allow_private=bool(settings.get("allow_private")))
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise SendFailed(f"the receiver redirects ({status}): set the address that it leads to")
    permanent = 400 <= status < 500 and status not in TRY_AGAIN
    raise SendFailed(f"the receiver answered {status} {said}".strip()[:300], permanent=permanent)


def sign(secret: str, key: str, at_s: int, body: bytes) -> str:
    """The signature header: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`."""
    digest = hmac.new(_key(secret), f"{key}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error as error:
            raise SendFailed("the secret after whsec_ is not base64: set it again", permanent=True) from error
    return secret.encode()


def _post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> tuple[int, str]:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise SendFailed(f"the address has a wrong port: {error}", permanent=True) from error
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
        raise SendFailed("the address must be https://host/… without a user name", permanent=True)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    ends_at = time.monotonic() + TIMEOUT_S
    try:
        addresses = resolve(parts.hostname, port, allow_private=allow_private)
        connection = _connect(parts.hostname, port, addresses, tls=parts.scheme == "https")
        try:
            with _deadline(connection, max(ends_at - time.monotonic(), 0.1)):
                connection.request("POST", target, body=body, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read(ANSWER_MAX_BYTES).decode(errors="replace")[:200]
        finally:
            connection.close()
    except AddressRefused as error:
        raise SendFailed(str(error), permanent=True) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise SendFailed(f"{parts.hostname} cannot be reached: {error or type(error).__name__}") from error
    except ValueError as error:
        raise SendFailed(f"the address cannot be used: {error}", permanent=True) from error


@contextmanager
def _deadline(connection: http.client.HTTPConnection, left_s: float) -> Iterator[None]:
    """Cut the connection after that time, also when the receiver sends a byte now and then."""

    def cut() -> None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(left_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _connect(host: str, port: int, addresses: list[str], *, tls: bool) -> http.client.HTTPConnection:
    """A connection to one of the resolved addresses, which are not resolved again."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    last: OSError | None = None
    for address in addresses[:4]:
        try:
            plain = socket.create_connection((address, port), timeout=TIMEOUT_S / 2)
        except OSError as error:
            last = error
            continue
        connection.sock = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain
        )
        return connection
    raise last or OSError("it has no address")
