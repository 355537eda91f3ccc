"""Hands a mail to the server through which this installation's mail leaves (kernel.config, section mail)."""

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

from forestall.kernel.config import Mail

TIMEOUT_S = 15.0


class NotSent(Exception):
    """It did not leave. `permanent`: nor will it, as it is."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


def hand_over(config: Mail, mail: EmailMessage, *, sender: str, to: list[str]) -> None:
    """Return when the server took it. Raises NotSent."""
    if not config.host:
        raise NotSent("no mail server is set: name one as mail.host in forestall.toml")
    try:
        with _connect(config) as server:
            refused = server.send_message(mail, from_addr=sender, to_addrs=to)
    except smtplib.SMTPRecipientsRefused as error:
        answers = list(error.recipients.values())
        raise NotSent(
            f"the server refused every recipient: {_said(*answers[0])}",
            permanent=all(code >= 500 for code, _ in answers),
        ) from error
    except smtplib.SMTPResponseException as error:
        code = error.smtp_code
        raise NotSent(f"the server said {_said(code, error.smtp_error)}", permanent=code >= 550) from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"the server {config.host} cannot be used: {error}") from error
    except UnicodeError as error:
        raise NotSent(f"an address cannot be written to this server: {error}", permanent=True) from error
    if refused:
        raise NotSent(f"the server refused {', '.join(sorted(refused))}", permanent=True)


def _connect(config: Mail) -> smtplib.SMTP:
    if config.security == "tls":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(config.host, config.port, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(config.host, config.port, timeout=TIMEOUT_S)
    try:
        if config.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if config.user:
            password = Path(config.password_file).read_text().strip() if config.password_file else ""
            server.login(config.user, password)
    except BaseException:
        server.close()
        raise
    return server


def _said(code: int, text: bytes | str) -> str:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {said}"[:200]
