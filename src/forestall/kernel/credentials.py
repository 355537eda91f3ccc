"""What a collector signs in to a device with: the kinds of credentials and their fields.

The estate keeps them sealed, an order carries one to the probe that needs it; forms are made from the fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from forestall.kernel.plugins import Setting

VALUE_MAX_CHARS = 16_384  # a private key of 16,384 bits has 13,000
NAME_MAX_CHARS = 256
AUTH_PROTOCOLS = ("SHA", "SHA224", "SHA256", "SHA384", "SHA512", "MD5", "")
PRIVACY_PROTOCOLS = ("AES128", "AES192", "AES256", "DES", "")


@dataclass(frozen=True, slots=True)
class CredentialKind:
    """A kind of credential. `fields` of the kind `secret` are never shown again; all are sealed."""

    name: str
    title: str
    about: str
    fields: tuple[Setting, ...]

    def read(self, given: Mapping[str, object]) -> dict[str, str]:
        """The fields from what was given, those that are empty left out. Raises ValueError with what to write
        instead; a value is never part of the text."""
        known = {field.name for field in self.fields}
        if odd := sorted(set(given) - known):
            raise ValueError(f"{self.title} has no field {odd[0]!r}; it has {', '.join(sorted(known))}")
        found: dict[str, str] = {}
        for field in self.fields:
            value = given.get(field.name)
            if value is None or value == "":
                if field.required:
                    raise ValueError(f"{field.name} is missing: {field.help or field.title}")
                continue
            if not isinstance(value, str) or "\0" in value:
                raise ValueError(f"{field.name} must be text without NUL characters")
            most = VALUE_MAX_CHARS if field.kind in ("secret", "lines") else NAME_MAX_CHARS
            if len(value) > most:
                raise ValueError(f"{field.name} has at most {most} characters, this one {len(value)}")
            if field.kind == "choice" and value not in field.choices:
                raise ValueError(f"{field.name} must be one of {', '.join(filter(None, field.choices))}")
            found[field.name] = value
        self._check(found)
        return found

    def _check(self, found: Mapping[str, str]) -> None:
        if self.name in ("ssh", "telnet") and not (found.get("password") or found.get("private_key")):
            raise ValueError("give a password or a private key")
        if self.name == "snmp_v3":
            if bool(found.get("auth_protocol")) != bool(found.get("auth_passphrase")):
                raise ValueError("auth_protocol and auth_passphrase go together")
            if bool(found.get("privacy_protocol")) != bool(found.get("privacy_passphrase")):
                raise ValueError("privacy_protocol and privacy_passphrase go together")
            if found.get("privacy_protocol") and not found.get("auth_protocol"):
                raise ValueError("privacy without authentication does not exist: give auth_protocol too")
            for name in ("auth_passphrase", "privacy_passphrase"):
                if 0 < len(found.get(name, "")) < 8:
                    raise ValueError(f"{name} has at least 8 characters (RFC 3414, 11.2)")


_USER = Setting("user", "User", required=True, help="The name to sign in with")
_LOGIN = (
    _USER,
    Setting("password", "Password", "secret"),
    Setting("private_key", "Private key", "secret", help="In OpenSSH or PEM form, all lines"),
    Setting("passphrase", "Passphrase of the private key", "secret"),
    Setting("enable", "Enable password", "secret", help="Where a second password raises the rights"),
)
KINDS: dict[str, CredentialKind] = {
    kind.name: kind
    for kind in (
        CredentialKind(
            "snmp_v2c",
            "SNMP v2c",
            "A read-only community. It crosses the network in plain text.",
            (Setting("community", "Community", "secret", required=True, help="The read-only one"),),
        ),
        CredentialKind(
            "snmp_v3",
            "SNMP v3",
            "A user; with authentication and privacy (authPriv) where the device can.",
            (
                _USER,
                Setting("auth_protocol", "Authentication", "choice", default="SHA", choices=AUTH_PROTOCOLS),
                Setting("auth_passphrase", "Passphrase of authentication", "secret"),
                Setting("privacy_protocol", "Privacy", "choice", default="AES128", choices=PRIVACY_PROTOCOLS),
                Setting("privacy_passphrase", "Passphrase of privacy", "secret"),
            ),
        ),
        CredentialKind("ssh", "SSH", "A user with few rights, for reading alone.", _LOGIN),
        CredentialKind(
            "telnet", "Telnet", "Only for what knows no SSH: it crosses the network in plain text.", _LOGIN
        ),
    )
}
SECRET_FIELDS = frozenset(
    field.name for kind in KINDS.values() for field in kind.fields if field.kind == "secret"
)


def secrets_of(credential: Mapping[str, str]) -> list[str]:
    """The secret values of a credential, whatever its kind."""
    return [value for name, value in credential.items() if name in SECRET_FIELDS and value]
