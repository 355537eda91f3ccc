"""What a certificate says, in words; and the two ways of TLS: trusting authorities, or anything."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import certifi
from cryptography import x509

from forestall.collect.answers import NoAnswer, NotAsked

CONTEXTS_MAX = 64
DAY_MS = 86_400_000
NAMES_MAX = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate that a server shows. Instants in UTC; `names` are those it is for."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    serial: str

    def days_left(self, now_ms: int) -> float:
        """Until it expires; negative when it has expired."""
        return (self.not_after.timestamp() * 1000 - now_ms) / DAY_MS

    def say_time(self, now_ms: int) -> str:
        """`expired 3 days ago (2026-11-20)`, `expires in 12 days (2026-12-05)`, `is valid only from …`."""
        days = self.days_left(now_ms)
        span = f"{abs(days):.0f} days" if abs(days) >= 1.5 else f"{abs(days) * 24:.0f} h"
        if days < 0:
            return f"expired {span} ago ({self.not_after:%Y-%m-%d})"
        if self.not_before.timestamp() * 1000 > now_ms:
            return f"is valid only from {self.not_before:%Y-%m-%d %H:%M} UTC on"
        return f"expires in {span} ({self.not_after:%Y-%m-%d})"

    @property
    def text(self) -> str:
        """For evidence: subject, issuer, dates, names, serial number; one a line."""
        return "\n".join(
            (
                f"subject: {self.subject}",
                f"issuer: {self.issuer}",
                f"valid from: {self.not_before:%Y-%m-%dT%H:%M:%SZ}",
                f"valid until: {self.not_after:%Y-%m-%dT%H:%M:%SZ}",
                f"names: {', '.join(self.names) or 'none'}",
                f"serial: {self.serial}",
            )
        )


def read_certificate(der: bytes) -> Certificate:
    """A certificate from its DER bytes. Raises NoAnswer when it is not one."""
    try:
        found = x509.load_der_x509_certificate(der)
        try:
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            said = [str(name.value) for name in names][:NAMES_MAX]
        except x509.ExtensionNotFound:
            said = []
        return Certificate(
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            not_before=found.not_valid_before_utc.astimezone(UTC),
            not_after=found.not_valid_after_utc.astimezone(UTC),
            names=tuple(said),
            serial=f"{found.serial_number:x}",
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise NoAnswer(f"the certificate that was shown cannot be read: {error}") from error


def say_distrust(place: str, certificate: Certificate | None, distrust: str, *, now_ms: int) -> str:
    """Why the certificate of a place is not trusted: by its dates if they say it, else as OpenSSL says."""
    if certificate and (
        certificate.days_left(now_ms) < 0 or certificate.not_before.timestamp() * 1000 > now_ms
    ):
        return f"certificate of {place} {certificate.say_time(now_ms)}"
    words = distrust.rstrip(".")
    if "ostname mismatch" in words or "address mismatch" in words:
        names = ", ".join(certificate.names[:3]) if certificate and certificate.names else "no name at all"
        return f"certificate of {place} is for another name: it is for {names}"
    if words in {"self-signed certificate", "self signed certificate"}:
        return f"certificate of {place} is self-signed, and this probe does not trust it"
    if "unable to get" in words or "in certificate chain" in words:
        issuer = certificate.issuer if certificate else "unknown"
        return (
            f"certificate of {place} is not from an authority that is trusted here (issuer {issuer}; {words})"
        )
    return f"certificate of {place} is not trusted: {words}"


@lru_cache(maxsize=CONTEXTS_MAX)
def context_that_trusts(further: str = "") -> ssl.SSLContext:
    """TLS that trusts this machine's authorities, and those in the PEM text `further`. Raises NotAsked.

    Kept, because reading the authorities costs some 20 ms of CPU each time.
    """
    context = ssl.create_default_context()
    if not context.get_ca_certs():  # a Python that does not know where the system keeps them
        context.load_verify_locations(cadata=Path(certifi.where()).read_text())
    if further:
        try:
            context.load_verify_locations(cadata=further)
        except (ssl.SSLError, ValueError) as error:
            raise NotAsked(f"the setting ca is not a certificate in PEM form: {error}") from error
    return context


@lru_cache(maxsize=1)
def context_that_trusts_anything() -> ssl.SSLContext:
    """TLS for looking at certificates and for devices that have only old or self-signed ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
