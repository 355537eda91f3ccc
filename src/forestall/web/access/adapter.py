"""Signing in with allauth: nobody signs up alone, guessers are locked out, TOTP secrets are sealed."""

import logging
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import quote

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import unstash_login
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from forestall.alerts.channels import mail_settings
from forestall.alerts.notifiers.smtp import hand_over
from forestall.alerts.values import SendFailed
from forestall.estate.access import note_sign_in
from forestall.estate.lockout import LOCKED_FOR, forget_failures, locked_until, note_failure
from forestall.estate.models import Person
from forestall.estate.vault import open_sealed, seal
from forestall.kernel.errors import Trouble

log = logging.getLogger("web")

LOCKED = (
    f"Too many wrong passwords. Wait {LOCKED_FOR.seconds // 60} minutes, or ask a colleague for a link to"
    " choose a new one."
)


class AccountAdapter(DefaultAccountAdapter):
    """What allauth asks of us around accounts."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People are added by people."""
        return False

    def clean_email(self, email: str) -> str:
        """Addresses are changed on the page of people: they name who did what."""
        match = getattr(context.request, "resolver_match", None)
        if match is not None and match.url_name == "account_email":
            raise ValidationError("Ask an owner of your installation to change your address.")
        cleaned: str = super().clean_email(email)
        return cleaned

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Person | None:
        """Somebody with this password, or None. Raises ValidationError while they are locked out."""
        email = str(credentials.get("email") or credentials.get("username") or "")
        address = self.get_client_ip(request)
        now = timezone.now()
        if locked_until(email, address=address, now=now) is not None:
            raise ValidationError(LOCKED)
        person: Person | None = super().authenticate(request, **credentials)
        if person is None:
            note_failure(email, address=address, now=now)
        else:
            forget_failures(email, address=address)
        return person

    def reauthenticate(self, user: Person, password: str) -> bool:
        """Whether this is the password of who is signed in."""
        found = self.authenticate(context.request, email=user.email, password=password)
        return found is not None and found.pk == user.pk

    def post_login(self, request: HttpRequest, user: Person, **kwargs: Any) -> HttpResponse:
        """Somebody is in, all steps done."""
        note_sign_in(user, address=self.get_client_ip(request))
        response: HttpResponse = super().post_login(request, user, **kwargs)
        return response

    def send_password_reset_mail(self, user: Person, email: str, context: dict[str, Any]) -> None:
        """Hand the link to the mail server, behind the answer: how long that takes, or that it fails, must
        not tell whether there is such a person."""
        found = mail_settings()
        if found is None:
            return
        mail = EmailMessage()
        mail["From"], mail["To"] = found["sender"], email
        mail["Subject"] = "A new password for Forestall"
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="forestall")
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(render_to_string("account/email/new_password.txt", context))
        threading.Thread(target=_hand_over, args=(found, mail, email), name="mail", daemon=True).start()

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Under the installation's own address: the host of a request is whatever its sender wrote."""
        path: str = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return settings.CONFIG.url.rstrip("/") + path.replace("UID-KEY", quote(key))


def _hand_over(found: Mapping[str, Any], mail: EmailMessage, to: str) -> None:
    try:
        hand_over(found, mail, to=[to])
    except SendFailed as failure:
        log.warning("a link for a new password could not be mailed: %s", failure)


class MfaAdapter(DefaultMFAAdapter):
    """What allauth asks of us around second factors. Each secret is sealed with the installation's key, which
    is not in the database, and bound to its person: moved to somebody else's row it does not open."""

    def encrypt(self, text: str) -> str:
        """The sealed form of a secret of the person whose request this is."""
        return seal(None, _mfa_record(), text)

    def decrypt(self, encrypted_text: str) -> str:
        """The secret. Raises Trouble when it is another person's."""
        return open_sealed(None, _mfa_record(), encrypted_text)


def _mfa_record() -> str:
    """Where the second factors of this request's person stand: of who is signed in, or is about to be."""
    request = context.request
    if request is not None and request.user.is_authenticated:
        return f"mfa\0{request.user.pk}"
    login = unstash_login(request, peek=True) if request is not None else None
    if login is None:
        raise Trouble("nobody is signing in here whose second factor it could be", "Sign in again.")
    return f"mfa\0{login.user.pk}"
