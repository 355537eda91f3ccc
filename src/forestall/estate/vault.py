"""Secrets at rest: an installation key outside the database wraps a data key per client, which seals with
AES-256-GCM. A sealed text is bound to its client and record: moved elsewhere it does not open.

Source: NIST SP 800-38D; envelope encryption as in security.md, invariant 6.
"""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from forestall.estate.models import ClientKey
from forestall.kernel.errors import Trouble

PREFIX = "sealed:v1:"
NONCE_BYTES = 12
KEY_BYTES = 32
PROVIDER = "provider"


def seal(client: str | None, record: str, text: str) -> str:
    """The sealed form of a secret of a client (None: of the provider). `record` names where it stands."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_data_key(client)).encrypt(nonce, text.encode(), _bound_to(client, record))
    return PREFIX + base64.b64encode(nonce + sealed).decode()


def open_sealed(client: str | None, record: str, sealed: str) -> str:
    """The secret. Raises Trouble when it was altered, moved from its record, or sealed with another key."""
    if not is_sealed(sealed):
        raise Trouble("this is not a sealed secret", "Enter the secret again.")
    try:
        data = base64.b64decode(sealed.removeprefix(PREFIX), validate=True)
        plain = AESGCM(_data_key(client)).decrypt(
            data[:NONCE_BYTES], data[NONCE_BYTES:], _bound_to(client, record)
        )
    except (InvalidTag, ValueError) as error:
        raise Trouble(
            "a sealed secret does not open here",
            "The key or the record is another one: enter the secret again.",
        ) from error
    return plain.decode()


def is_sealed(text: str) -> bool:
    """Whether a text is a sealed secret."""
    return text.startswith(PREFIX)


def _bound_to(client: str | None, record: str) -> bytes:
    return f"{client or PROVIDER}\0{record}\0v1".encode()


def _installation_key() -> bytes:
    key: bytes = settings.DATA.key("vault")
    return key


def _data_key(client: str | None) -> bytes:
    """The data key of a client, made on first use; the provider's secrets use the installation key."""
    if client is None:
        return _installation_key()
    wrapper = AESGCM(_installation_key())
    bound = f"client-key\0{client}".encode()
    row = ClientKey.objects.filter(client=client).first()
    if row is None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        fresh = nonce + wrapper.encrypt(nonce, secrets.token_bytes(KEY_BYTES), bound)
        row, _ = ClientKey.objects.get_or_create(client_id=client, defaults={"wrapped": fresh})
    wrapped = bytes(row.wrapped)
    try:
        return wrapper.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
    except InvalidTag as error:
        raise Trouble(
            "the key of a client's secrets does not open",
            "The file secret/vault of the data directory is another one: restore it from its backup.",
        ) from error
