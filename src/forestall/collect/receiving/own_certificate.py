"""A certificate that a listener makes for itself, once, when nobody gave it one."""

import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from forestall.kernel.errors import Trouble

VALID_DAYS = 3650
BACK_DAYS = 1  # senders whose clocks are behind


def ensure_certificate(folder: Path, *, now: datetime) -> tuple[Path, Path]:
    """Certificate and key (PEM) in `folder`, made when they are not there; the key is readable by its owner
    alone. Raises Trouble when they cannot be written."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if certificate.exists() and key.exists():
        return certificate, key
    made, its_key = _make(now)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key, its_key)
        _write(certificate, made)
    except OSError as error:
        raise Trouble(
            f"the certificate for syslog over TLS cannot be written to {folder}: {error.strerror}",
            "Make room there, or name one of your own in the section tls of forestall.toml.",
        ) from error
    return certificate, key


def _make(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()[:64] or "forestall"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, host),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forestall"),
        ]
    )
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if host.isascii():
        names.append(x509.DNSName(host))
    at = now.astimezone(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=BACK_DAYS))
        .not_valid_after(at + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), private


def _write(path: Path, data: bytes) -> None:
    """As a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
