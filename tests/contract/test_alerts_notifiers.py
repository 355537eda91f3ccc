"""Notifiers against real servers on the loopback: SMTP (aiosmtpd), HTTP, and what they do when these fail."""

import base64
import hashlib
import hmac
import json
import socket
import threading
from contextlib import ExitStack

import pytest
from aiosmtpd.smtp import AuthResult

from forestall.alerts import addresses
from forestall.alerts.channels import PACKAGE
from forestall.alerts.notifiers import apprise, smtp, webhook
from forestall.alerts.values import Message, SendFailed
from forestall.kernel.config import Config, Mail
from forestall.kernel.plugins import Spec, load
from notifier_servers import SECRET, HookServer, MailServer


def message(**fields) -> Message:
    return Message(
        **{
            "id": "0AAAAAAAAAAA1",
            "thread": "0AAAAAAAAAAA0",
            "step": "opened",
            "severity": "breaking",
            "client": "Müller & Söhne",
            "asset": "web-01",
            "title": "web-01 does not answer",
            "reason": "It was asked 3 times.",
            "subject": "[breaking] web-01 does not answer · Müller & Söhne",
            "text": "Since 2026-03-02 08:00 UTC.\n\nIt was asked 3 times.\n",
            "at": "2026-03-02T08:00:00+00:00",
            **fields,
        }
    )


@pytest.fixture
def mail_server():
    with ExitStack() as stack:

        def start(**options):
            server = stack.enter_context(MailServer(**options))
            sender = "Forestall <f@provider.example>"
            return server, {"host": "127.0.0.1", "port": server.port, "sender": sender}

        yield start


def test_a_mail_arrives_as_plain_text_and_threads_with_the_others_of_its_alert(mail_server):
    server, settings = mail_server()
    settings |= {"to": ["oncall@provider.example"]}
    smtp.send(settings, message())
    smtp.send(settings, message(id="0AAAAAAAAAAA2", step="recovered", subject="[recovered] web-01"))
    first, second = server.inbox
    assert first["Subject"] == "[breaking] web-01 does not answer · Müller & Söhne"
    assert first.get_content_type() == "text/plain"
    assert "It was asked 3 times." in first.get_content()
    assert first["References"] == second["References"] == "<alert-0AAAAAAAAAAA0@provider.example>"
    assert first["Message-ID"] != second["Message-ID"]
    smtp.send(settings, message())
    assert server.inbox[2]["Message-ID"] == first["Message-ID"], "a repetition has the same identifier"


@pytest.mark.parametrize(("to", "permanent"), [("gone@x.example", True), ("later@x.example", False)])
def test_a_refused_recipient_is_final_only_when_the_server_says_so(mail_server, to, permanent):
    server, settings = mail_server()
    with pytest.raises(SendFailed) as failed:
        smtp.send(settings | {"to": [to]}, message())
    assert failed.value.permanent is permanent
    assert server.inbox == []


def test_a_header_cannot_be_smuggled_into_a_mail(mail_server):
    server, settings = mail_server()
    smtp.send(settings | {"to": ["a@b.example"]}, message(subject="x\r\nBcc: evil@x.example\r\n\r\nhello"))
    assert server.inbox[0]["Bcc"] is None


def test_a_wrong_password_may_be_mended(mail_server):
    def nobody(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False)

    _, settings = mail_server(authenticator=nobody, auth_require_tls=False)
    with pytest.raises(SendFailed) as failed:
        smtp.send(settings | {"to": ["a@b.example"], "user": "u", "password": "hunter2"}, message())
    assert not failed.value.permanent
    assert "hunter2" not in failed.value.reason


def test_a_password_is_never_sent_in_the_clear_when_starttls_was_asked_for(mail_server):
    server, settings = mail_server()
    with pytest.raises(SendFailed):
        smtp.send(
            settings | {"to": ["a@b.example"], "security": "starttls", "user": "u", "password": "p"},
            message(),
        )
    assert server.inbox == []


def test_no_server_is_said_plainly():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendFailed, match="cannot be used") as failed:
        smtp.send(
            {"to": ["a@b.example"], "host": "127.0.0.1", "port": port, "sender": "f@x.example"}, message()
        )
    assert not failed.value.permanent


def test_a_channel_without_a_server_uses_the_installations(tmp_path):
    given = smtp.defaults(Config(mail=Mail(host="mail.example", port=587, security="starttls", user="u")))
    assert (given["host"], given["port"], given["security"]) == ("mail.example", 587, "starttls")
    assert "host" not in smtp.defaults(Config())


@pytest.fixture
def receiver():
    with HookServer() as server:
        yield server


def test_a_webhook_is_signed_as_standard_webhooks_says(receiver):
    webhook.send({"url": receiver.url, "secret": SECRET, "allow_private": True}, message())
    headers, body = receiver.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["idempotency-key"] == headers["webhook-id"] == "0AAAAAAAAAAA1"
    told = json.loads(body)
    assert told["type"] == "alert.opened"
    assert told["data"]["client"] == "Müller & Söhne"


def test_the_signature_of_the_standards_own_example():
    # https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, "Signature scheme"
    signed = webhook.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (503, False), (429, False), (401, False), (400, True), (410, True)],
)
def test_what_a_receiver_answers_decides_whether_it_is_tried_again(receiver, status, permanent):
    receiver.status = status
    with pytest.raises(SendFailed, match=str(status)) as failed:
        webhook.send({"url": receiver.url, "secret": SECRET, "allow_private": True}, message())
    assert failed.value.permanent is permanent


def test_a_redirection_is_not_followed(receiver):
    receiver.status, receiver.headers = 302, {"Location": "http://169.254.169.254/"}
    with pytest.raises(SendFailed, match="redirects"):
        webhook.send({"url": receiver.url, "secret": SECRET, "allow_private": True}, message())


def test_private_addresses_are_refused_unless_allowed(receiver):
    with pytest.raises(SendFailed, match="not on the Internet") as failed:
        webhook.send({"url": receiver.url, "secret": SECRET}, message())
    assert failed.value.permanent
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "http://", "https://u:p@x.example/", "http://x.example:99999/"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(SendFailed) as failed:
        webhook.send({"url": url, "secret": SECRET, "allow_private": True}, message())
    assert failed.value.permanent


def test_a_receiver_that_hangs_up_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(SendFailed, match="cannot be reached") as failed:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            webhook.send({"url": url, "secret": SECRET, "allow_private": True}, message())
    assert not failed.value.permanent


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_which_addresses_are_open(address, is_open):
    assert addresses.is_open(address) is is_open


def test_apprise_reaches_a_service(receiver):
    receiver.status = 200
    apprise.send({"url": receiver.url.replace("http://", "json://")}, message())
    told = json.loads(receiver.requests[0][1])
    assert told["title"].startswith("[breaking] web-01")


def test_apprise_says_when_it_cannot(receiver):
    receiver.status = 500
    with pytest.raises(SendFailed, match="did not take") as failed:
        apprise.send({"url": receiver.url.replace("http://", "json://")}, message())
    assert not failed.value.permanent
    for url in ("nonsense", "dbus://"):
        with pytest.raises(SendFailed) as failed:
            apprise.send({"url": url}, message())
        assert failed.value.permanent


def test_every_notifier_has_a_spec_and_a_function():
    found = load(PACKAGE)
    assert {"smtp", "webhook", "apprise"} <= found.keys()
    for name, module in found.items():
        assert isinstance(module.SPEC, Spec)
        assert module.SPEC.name == name
        assert callable(module.send)
