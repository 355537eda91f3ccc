"""Pages of getting in: the one-time set-up link, where the first owner gives the installation its name; a
forgotten password."""

from typing import Any

from allauth.account.views import PasswordResetView
from django import forms
from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from forestall.alerts.channels import mail_settings
from forestall.estate.access import Refused, is_setup_link, note_sign_in, use_setup_link
from forestall.kernel.errors import Trouble

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def _input(purpose: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "input", "autocomplete": purpose})


class SetUpForm(forms.Form):
    """What a fresh installation needs to know."""

    provider = forms.CharField(label="Name of your company", max_length=160, widget=_input("organization"))
    name = forms.CharField(label="Your name", max_length=160, widget=_input("name"))
    email = forms.EmailField(
        label="Your e-mail address",
        max_length=160,
        widget=forms.EmailInput(attrs={"class": "input", "autocomplete": "username"}),
    )
    password = forms.CharField(
        label="Password",
        max_length=1024,
        strip=False,
        help_text="At least 12 characters. A sentence is easier to remember than a puzzle.",
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "new-password"}),
    )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, secret: str) -> HttpResponse:
    """Make the first owner and sign them in. 410 for a link that opens nothing: it was used or replaced, or
    there is an owner."""
    if not is_setup_link(secret):
        return _used(request)
    form = SetUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            owner = use_setup_link(secret, **form.cleaned_data)
        except Refused:
            return _used(request)
        except ValidationError as error:
            form.add_error("password", error)
        except Trouble as trouble:
            form.add_error("email", str(trouble))
        else:
            login(request, owner, backend=BACKEND)
            note_sign_in(owner, address=request.META.get("REMOTE_ADDR", ""))
            return redirect("/")
    return render(request, "access/set_up.html", {"form": form})


class PasswordForgotten(PasswordResetView):  # type: ignore[misc]
    """A link for a new password by mail; where no mail can leave, who can help."""

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """`mail`: whether one can leave."""
        found: dict[str, Any] = super().get_context_data(**given)
        return found | {"mail": mail_settings() is not None}

    def post(self, request: HttpRequest, *args: Any, **given: Any) -> HttpResponse:
        """Without a mail server nothing is promised."""
        answer: HttpResponse = (
            self.get(request, *args, **given)
            if mail_settings() is None
            else super().post(request, *args, **given)
        )
        return answer


def _used(request: HttpRequest) -> HttpResponse:
    return render(request, "access/set_up_used.html", status=410)
