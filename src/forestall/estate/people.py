"""How people are made; Django's authentication needs this manager."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import BaseUserManager

if TYPE_CHECKING:
    from forestall.estate.models import Person


class PersonManager(BaseUserManager["Person"]):
    """Creates people with a hashed password (or none: they then set it through a link)."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "Person":
        """A new person. Raises ValueError without an e-mail address."""
        if not email:
            raise ValueError("a person needs an e-mail address to sign in")
        person = self.model(email=self.normalize_email(email).lower(), **fields)
        if password is None:
            person.set_unusable_password()
        else:
            person.set_password(password)
        person.save(using=self._db)
        return person
