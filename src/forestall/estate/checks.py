"""What the estate's fields may hold: names, zones, addresses, networks. No database; raises Trouble."""

import ipaddress
import re
from collections.abc import Iterable
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from forestall.kernel.errors import Trouble

RANGES_MAX = 100
ADDRESSES_MAX = 100
NAME_MAX_CHARS = 160
NOTES_MAX_CHARS = 20_000
DAYS_MOST = 3650
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,62}[a-z0-9_])?)*\.?"
)


def clean_name(name: str) -> str:
    """A name without spaces around or doubled."""
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX_CHARS:
        raise Trouble(f"a name has 1 to {NAME_MAX_CHARS} characters", "Write another one.")
    return name


def clean_addresses(given: Iterable[str]) -> list[str]:
    """IP addresses and host names, each once, as they are usually written."""
    found = list(dict.fromkeys(text.strip().lower() for text in given if text.strip()))
    if len(found) > ADDRESSES_MAX:
        raise Trouble(f"an asset has at most {ADDRESSES_MAX} addresses", "Leave some out.")
    return [_address(text) for text in found]


def _address(text: str) -> str:
    """An IP address as it is usually written, or a host name."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if _HOST.fullmatch(text):
            return text
    raise Trouble(f"{text!r} is neither an IP address nor a host name", "Write for example 10.0.0.5.")


def known_zone(name: str) -> str:
    """A time zone of the IANA database."""
    if name not in available_timezones():
        raise Trouble(f"there is no time zone {name!r}", "Write for example Europe/Berlin or UTC.")
    return name


def clean_ranges(given: Iterable[str]) -> list[str]:
    """Networks in CIDR notation."""
    found = []
    for text in given:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError as error:
            raise Trouble(
                f"{text!r} is not a network: {error}", "Write for example 192.168.1.0/24."
            ) from error
    if len(found) > RANGES_MAX:
        raise Trouble(f"a site has at most {RANGES_MAX} ranges", "Join some of them.")
    return found


def email_or_none(text: str) -> str:
    """An e-mail address in small letters, or ""."""
    text = text.strip().lower()
    try:
        if text:
            validate_email(text)
    except ValidationError as error:
        raise Trouble(f"{text!r} is not an e-mail address", "Write for example ada@example.org.") from error
    return text


def days_kept(days: int | None) -> int | None:
    """For how many days observations are kept; None: as the installation keeps them."""
    if days is not None and not 1 <= days <= DAYS_MOST:
        raise Trouble(f"what was observed is kept 1 to {DAYS_MOST} days", "Choose another number.")
    return days
