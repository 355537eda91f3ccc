"""Kinds of assets, roles of people and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

ASSET_KINDS = {
    "server": "Server",
    "workstation": "Workstation",
    "switch": "Switch",
    "firewall": "Firewall",
    "router": "Router",
    "access_point": "Access point",
    "website": "Website",
    "certificate": "Certificate",
    "domain": "Domain",
    "service": "Service",
    "ups": "UPS",
    "printer": "Printer",
    "storage": "Storage",
    "mailbox_domain": "Mailbox domain",
    "backup_plan": "Backup plan",
    "forestall": "Forestall itself",
    "other": "Other",
}


class Role(StrEnum):
    """What a person is for."""

    OWNER = "owner"
    SERVICE_MANAGER = "service_manager"
    TECHNICIAN = "technician"
    ACCOUNTING = "accounting"
    READ_ONLY = "read_only"
    CLIENT_CONTACT = "client_contact"

    @property
    def title(self) -> str:  # type: ignore[override]
        """As people read it."""
        return self.value.replace("_", " ").capitalize()


# A right is `thing:read` or `thing:write`; API tokens are given some of them.
RIGHTS = (
    "intake",
    "estate:read",
    "estate:write",
    "telemetry:read",
    "configs:read",
    "findings:read",
    "findings:write",
    "alerts:read",
    "alerts:write",
    "tickets:read",
    "tickets:write",
    "desk:write",
    "portal:read",
    "people:read",
    "people:write",
    "installation:read",
    "installation:write",
    "billing:read",
    "billing:write",
    "economics:read",
    "economics:write",
)

_READS = frozenset(right for right in RIGHTS if right.endswith(":read"))
_NOT_FOR_ALL = frozenset({"people:read", "billing:read", "economics:read"})
_DESK = frozenset({"estate:write", "findings:write", "alerts:write", "tickets:write", "intake"})

ROLE_RIGHTS: dict[Role, frozenset[str]] = {
    Role.OWNER: frozenset(RIGHTS),
    Role.SERVICE_MANAGER: _READS | _DESK | {"desk:write", "people:write"},
    Role.TECHNICIAN: (_READS - _NOT_FOR_ALL) | _DESK,
    Role.ACCOUNTING: frozenset({"estate:read", "installation:read", "billing:read", "billing:write"}),
    Role.READ_ONLY: _READS - _NOT_FOR_ALL,
    Role.CLIENT_CONTACT: frozenset({"portal:read"}),
}


@dataclass(frozen=True, slots=True)
class Pusher:
    """The program that holds a token. `asset` is "" when the token stands for no single one; `why_not` says
    why it may not push, "" when it may. Limits are None when nobody set them."""

    token: str
    name: str
    client: str
    asset: str
    why_not: str
    rate_bytes_per_s: int | None
    body_max_bytes: int | None
