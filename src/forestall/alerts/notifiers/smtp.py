"""Tell by mail: plain text over SMTP; all messages of one alert are one thread."""

import email.message
import smtplib
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any

from forestall.alerts.values import Message, SendFailed
from forestall.kernel.config import Config
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 10.0
RECIPIENTS_MOST = 50

SPEC = Spec(
    name="smtp",
    title="Mail",
    about="Sends a plain-text mail. Messages of one alert stay together as a thread.",
    source="RFC 5321, RFC 5322 (Message-ID, References), RFC 3834 (Auto-Submitted)",
    settings=(
        Setting("to", "To", kind="lines", required=True, help="write one mail address a line"),
        Setting("host", "Server", help="empty: the installation's own mail server"),
        Setting("port", "Port", kind="whole", least=1, most=65535, help="empty: the installation's own"),
        Setting("security", "Security", kind="choice", choices=("none", "starttls", "tls")),
        Setting("user", "User"),
        Setting("password", "Password", kind="secret"),
        Setting("sender", "From", help="empty: the installation's own sender"),
    ),
    limits=f"At most {RECIPIENTS_MOST} recipients; an attempt takes at most {TIMEOUT_S:g} s a step.",
)


def defaults(config: Config) -> dict[str, Any]:
    """What the installation's own mail settings give when the channel leaves it empty."""
    mail = config.mail
    found: dict[str, Any] = {"sender": mail.sender, "security": "none", "port": 25}
    if mail.host:
        found |= {"host": mail.host, "port": mail.port, "security": mail.security, "user": mail.user}
        if mail.password_file:
            found["password_file"] = mail.password_file
    return found


def send(settings: Mapping[str, Any], message: Message) -> None:
    """Send one mail. Raises SendFailed; permanent when the server refuses every recipient for good."""
    to = [parseaddr(address)[1] for address in settings["to"]][:RECIPIENTS_MOST]
    if not settings.get("host"):
        raise SendFailed("no mail server is set: give this channel a server, or set mail.host")
    if not all("@" in address for address in to):
        raise SendFailed("an address of this channel is not a mail address", permanent=True)
    hand_over(settings, compose(message, sender=settings["sender"], to=to), to=to)


def hand_over(settings: Mapping[str, Any], mail: email.message.Message, *, to: list[str]) -> None:
    """Give a mail to the server of these settings. Raises SendFailed; permanent when the server refuses every
    recipient for good."""
    try:
        with _connect(settings) as server:
            refused = server.send_message(mail, from_addr=parseaddr(settings["sender"])[1], to_addrs=to)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise SendFailed(
            f"the mail server refused every recipient: {_said(next(iter(error.recipients.values())))}",
            permanent=all(code >= 500 for code in codes),
        ) from error
    except smtplib.SMTPResponseException as error:
        raise SendFailed(f"the mail server said {_said((error.smtp_code, error.smtp_error))}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise SendFailed(f"the mail server {settings['host']} cannot be used: {error}") from error
    except UnicodeError as error:
        raise SendFailed(f"an address cannot be written to this server: {error}", permanent=True) from error
    if refused:
        raise SendFailed(
            f"the mail server refused {', '.join(sorted(refused))}; the others got it", permanent=True
        )


def compose(message: Message, *, sender: str, to: list[str]) -> EmailMessage:
    """The mail: a stable Message-ID for every delivery, and References to the alert's thread."""
    mail = EmailMessage()
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = format_datetime(datetime.fromisoformat(message.at))
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    thread = f"<alert-{message.thread}@{domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Forestall-Alert"] = message.thread
    mail.set_content(message.text)
    return mail


def _connect(settings: Mapping[str, Any]) -> smtplib.SMTP:
    host, port = settings["host"], int(settings.get("port") or 25)
    security = settings.get("security") or "none"
    if security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        if security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if settings.get("user"):
            server.login(settings["user"], _password(settings))
    except BaseException:
        server.close()
        raise
    return server


def _password(settings: Mapping[str, Any]) -> str:
    if settings.get("password") or not settings.get("password_file"):
        return str(settings.get("password") or "")
    return Path(settings["password_file"]).read_text().strip()


def _said(answer: tuple[int, bytes | str]) -> str:
    code, text = answer
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {said}"[:200]
