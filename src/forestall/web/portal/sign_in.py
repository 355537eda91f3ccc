"""Getting into the portal: an address is entered, a link comes by mail, a button behind it signs in.

The answer is the same whether the address is known or not. Asking is counted, by address
and by where from.
"""

import logging
import threading
from collections.abc import Mapping
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from forestall.alerts.channels import mail_settings
from forestall.alerts.notifiers.smtp import hand_over
from forestall.alerts.values import SendFailed
from forestall.estate import queries as estate
from forestall.estate.access import note_sign_in
from forestall.estate.lockout import locked_until, note_failure
from forestall.estate.tenancy import system_scope
from forestall.mail.sign_in import LASTS, Made, is_good, make_link, use_link
from forestall.web.access.pages import BACKEND

log = logging.getLogger("web")
SIGNED_IN_FOR = timedelta(days=90)
ADDRESS_MAX_CHARS = 254
TEXT = """Hello {name},

this link takes you to {provider}'s portal, once, within {minutes} minutes:

{link}

If you did not ask for it, somebody else typed your address: nothing happens unless you open it.
"""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for a link."""
    context: dict[str, Any] = {"provider": _provider(), "minutes": LASTS.seconds // 60}
    if request.method == "POST":
        email = request.POST.get("email", "").strip().lower()[:ADDRESS_MAX_CHARS]
        asker, now = f"portal {request.META.get('REMOTE_ADDR', '')}", timezone.now()
        if locked_until(asker, address=email, now=now):
            return render(request, "portal/sign_in.html", context | {"too_often": True}, status=429)
        note_failure(asker, address=email, now=now)
        found = mail_settings()
        made = make_link(email, now=now) if found else None
        if found and made:
            _send(found, made, str(context["provider"]))
        context |= {"asked": email, "mail": found is not None}
    return render(request, "portal/sign_in.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, secret: str) -> HttpResponse:
    """The page behind a link: its button uses it up. 410 for one that opens nothing."""
    now, context = timezone.now(), {"provider": _provider()}
    if request.method == "POST":
        person = use_link(secret, now=now)
        if person is not None:
            login(request, person, backend=BACKEND)
            request.session.set_expiry(SIGNED_IN_FOR)
            note_sign_in(person, address=request.META.get("REMOTE_ADDR", ""))
            return redirect("portal")
    good = request.method != "POST" and is_good(secret, now=now)
    return render(request, "portal/sign_in_link.html", context | {"good": good}, status=200 if good else 410)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("portal-sign-in")


def _provider() -> str:
    return estate.provider(system_scope("portal")).name


def _send(found: Mapping[str, Any], made: Made, provider: str) -> None:
    """Behind the answer: how long it takes must not tell whether the address is known. The secret is kept
    nowhere, so a mail that fails is not tried again: the person asks once more."""
    path = reverse("portal-sign-in-link", kwargs={"secret": made.secret})
    mail = EmailMessage()
    mail["From"], mail["To"] = found["sender"], made.email
    mail["Subject"] = f"Your way into the portal of {' '.join(provider.split())}"
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="forestall")
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        TEXT.format(
            name=made.name, provider=provider, minutes=LASTS.seconds // 60,
            link=settings.CONFIG.url.rstrip("/") + path,
        )
    )  # fmt: skip
    threading.Thread(target=_hand_over, args=(found, mail, made.email), name="mail", daemon=True).start()


def _hand_over(found: Mapping[str, Any], mail: EmailMessage, to: str) -> None:
    try:
        hand_over(found, mail, to=[to])
    except SendFailed as failure:
        log.warning("a link into the portal could not be mailed: %s", failure)
