"""The page behind the one-time set-up link: the first owner gives the installation its name, and is in."""

from django import forms
from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from forestall.estate.access import Refused, is_setup_link, note_sign_in, use_setup_link
from forestall.kernel.errors import Trouble

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class SetUpForm(forms.Form):
    """What a fresh installation needs to know."""

    provider = forms.CharField(label="Name of your company", max_length=160)
    name = forms.CharField(label="Your name", max_length=160)
    email = forms.EmailField(label="Your e-mail address", max_length=160)
    password = forms.CharField(
        label="Password",
        max_length=1024,
        strip=False,
        help_text="At least 12 characters. A sentence is easier to remember than a puzzle.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, secret: str) -> HttpResponse:
    """Make the first owner and sign them in. 404 for a link that was used, and once there is an owner."""
    if not is_setup_link(secret):
        raise Http404
    form = SetUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            owner = use_setup_link(secret, **form.cleaned_data)
        except Refused:
            raise Http404 from None
        except ValidationError as error:
            form.add_error("password", error)
        except Trouble as trouble:
            form.add_error("email", str(trouble))
        else:
            login(request, owner, backend=BACKEND)
            note_sign_in(owner, address=request.META.get("REMOTE_ADDR", ""))
            return redirect("/")
    return render(request, "access/set_up.html", {"form": form})
