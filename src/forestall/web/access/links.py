"""Links for people: choosing a password, once, within Django's PASSWORD_RESET_TIMEOUT (three days)."""

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse

from forestall.estate.models import Person


def password_link(person: Person) -> str:
    """The path at which this person chooses a (new) password. It ends when they have, or sign in before."""
    key = default_token_generator.make_token(person)
    return reverse(
        "account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(person), "key": key}
    )
