"""A payment provider behind a small HTTP service of one's own: it charges, and answers with a reference.

The request carries `Idempotency-Key`; a service that gets the same key again answers the same and charges
nothing.
"""

import json
import urllib.request
from typing import Any

from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 65_536
SPEC = Spec(
    name="webhook",
    title="Own payment service",
    about="Sends what is due to an address of yours, which charges the client and answers with a reference.",
    source="The Idempotency-Key HTTP Header Field (IETF draft httpapi-idempotency-key-header)",
    settings=(
        Setting("url", "Address", required=True, help="https://pay.example.com/charge"),
        Setting("secret", "Bearer token", kind="secret", required=True, help="what the service expects"),
    ),
)


def charge(settings: dict[str, Any], *, key: str, number: str, amount_minor: int, currency: str) -> str:
    """The service's reference of the payment. Raises Trouble when it was refused or cannot be reached; the
    same key may be charged again."""
    if not str(settings["url"]).startswith("https://") and not settings.get("allow_plain"):
        raise Trouble("the payment service's address is not https", "Use https.")
    body = json.dumps({"number": number, "amount_minor": amount_minor, "currency": currency}).encode()
    headers = {
        "Authorization": f"Bearer {settings['secret']}", "Content-Type": "application/json",
        "Idempotency-Key": key,
    }  # fmt: skip
    request = urllib.request.Request(settings["url"], data=body, headers=headers, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            found = json.loads(answer.read(ANSWER_MAX_BYTES))
    except (OSError, ValueError) as error:
        raise Trouble(f"the payment service did not take {number}: {error}", "Try again later.") from error
    reference = found.get("reference") if isinstance(found, dict) else None
    if not isinstance(reference, str) or not reference:
        raise Trouble(f"the payment service gave no reference for {number}", "See its own log.")
    return reference
