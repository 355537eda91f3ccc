"""Secrets are masked before configuration text leaves the machine.

A masked value becomes `‹secret 3f9a1c›`: a keyed hash, so that a changed secret is still a visible change
while nobody without this machine's key can try candidates.
"""

import hashlib
import hmac
import re

MARK_HEX = 6
_NAME = (
    r"[\w.-]*(?:passw(?:or)?d|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|psk|pre-shared-key"
    r"|credentials?|community|auth[_-]?key|encryption[_-]?key|bindpw|client[_-]?secret)[\w.-]*"
)
_VALUE = r"(?P<value>\"(?:[^\"\\]|\\.)+\"|'(?:[^'\\]|\\.)+'|[^\s\"',;#]+)"
# Each pattern has a group `value`; what stands around it stays.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # name = value, name: value, "name": "value", name => value, export NAME=value
        rf"(?im)(?P<before>(?:^|[\s{{,;(\"'?&])[\"']?{_NAME}[\"']?\s*(?:=>|[:=])\s*){_VALUE}",
        # name value, as routers and daemons write it: `snmp-server community x RO`, `password 7 0822…`
        rf"(?im)(?P<before>(?:^|\s)(?:{_NAME})\s+(?:(?:\d|sha256|sha512|md5|aes|encrypted|ro|rw)\s+)*){_VALUE}",
        # https://user:value@host
        r"(?i)(?P<before>[a-z][a-z0-9+.-]*://[^\s/:@]*:)(?P<value>[^\s/@]+)(?=@)",
        # Authorization: Bearer value
        r"(?i)(?P<before>\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9._~+/=-]{8,})",
        # keys that are known by their shape: AWS, GitHub, Slack, Google, JWT
        r"(?P<before>)(?P<value>\b(?:AKIA|ASIA)[A-Z0-9]{16}\b)",
        r"(?P<before>)(?P<value>\b(?:ghp|gho|ghs|ghu|github_pat|xox[abprs]|glpat)[_-][A-Za-z0-9_-]{16,})",
        r"(?P<before>)(?P<value>\bAIza[A-Za-z0-9_-]{35}\b)",
        r"(?P<before>)(?P<value>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
        # crypt(5) hashes: $6$salt$hash
        r"(?P<before>)(?P<value>\$(?:1|2[aby]|5|6|7|y|gy|argon2\w*)\$[^\s:\"']{8,})",
    )
)
_PEM = re.compile(
    r"(?s)(?P<before>-----BEGIN [A-Z ]*PRIVATE KEY-----\n)(?P<value>.*?)"
    r"(?P<after>\n-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_HARMLESS = frozenset(
    ("yes", "no", "true", "false", "none", "null", "prompt", "prohibit-password", "ask", "required")
    + ("sufficient", "files", "md5", "0", "1")
)
_MARKED = re.compile(r"‹secret [0-9a-f]+›")


class Masker:
    """Masks with a key of the machine's own (any bytes)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mask(self, text: str) -> str:
        """The text with every secret replaced by its mark. Masking again changes nothing."""
        text = _PEM.sub(lambda found: found["before"] + self._mark(found["value"]) + found["after"], text)
        for pattern in _PATTERNS:
            text = pattern.sub(self._replace, text)
        return text

    def _replace(self, found: re.Match[str]) -> str:
        value = found["value"]
        bare = value.strip("\"'")
        if bare.lower() in _HARMLESS or "‹secret" in value or bare.startswith(("$(", "${", "{{", "/", "<")):
            return found[0]
        quote = value[0] if value[0] in "\"'" and len(value) > 1 and value[-1] == value[0] else ""
        start = found.start("value") - found.start()
        end = found.end("value") - found.start()
        return found[0][:start] + quote + self._mark(bare) + quote + found[0][end:]

    def _mark(self, secret: str) -> str:
        if _MARKED.fullmatch(secret):
            return secret
        digest = hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()
        return f"‹secret {digest[:MARK_HEX]}›"
