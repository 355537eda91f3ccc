"""The words of mail: what arrived, what a message says of itself, what became of it. No framework."""

from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

REASON_MAX_CHARS = 500


class Arrived(Struct, frozen=True, kw_only=True):
    """A message that waits to be taken in. `sender` and `recipients` are the envelope's; `by` is `smtp` or
    `imap`; `digest` names its bytes (mail.blobs)."""

    received_at_ms: int
    peer: str
    helo: str
    sender: str
    recipients: tuple[str, ...]
    digest: str
    size: int
    by: str = "smtp"


class Kind(StrEnum):
    """What sort of message it is: only what a person wrote can open a ticket and is answered."""

    PERSON = "person"
    MACHINE = "machine"  # a device or program that writes of itself, to nobody's question
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    LIST = "list"
    INVITATION = "invitation"
    INVITATION_ANSWER = "invitation_answer"
    LOOP = "loop"


class State(StrEnum):
    """What became of a message. The last six are of messages that we send."""

    TAKEN = "taken"  # it is on a ticket
    STRANGER = "stranger"  # it waits for a person to say whose it is
    IGNORED = "ignored"  # kept, and nothing came of it; `reason` says why
    DROPPED = "dropped"  # by a person
    REPORT = "report"  # of a backup product, about its runs
    REPEATED = "repeated"  # the same as one that is here already
    DUE = "due"
    SENT = "sent"
    BOUNCED = "bounced"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the headers of a message say, decoded and cut. Addresses are in small letters, `envelope_sender`
    is `<>` when it is empty and "" when it is not known; `references` are
    the identifiers that it answers, the nearest first; `authentication` is what trusted hosts of ours found
    (method → result), empty when none looked. `report_of`: the identifiers in a bounce."""

    message_id: str = ""
    references: tuple[str, ...] = ()
    sender: str = ""
    sender_name: str = ""
    envelope_sender: str = ""
    reply_to: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""
    sent_at_ms: int | None = None
    auto_submitted: str = ""
    precedence: str = ""
    suppress: str = ""
    answers_by_itself: str = ""  # another header of an automatic answer, by its name
    list_id: str = ""
    content_type: str = ""
    method: str = ""  # of an invitation: REQUEST, REPLY, CANCEL …
    hops: int = 0
    ours: bool = False  # it carries the mark that only we set
    report_of: tuple[str, ...] = ()
    authentication: dict[str, str] = field(default_factory=dict)
    authenticated_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An attachment. `kind` is what its bytes are, `claimed` what the message says; `held` is why nobody
    should open it ("" when nothing speaks against it)."""

    name: str
    claimed: str
    kind: str
    size: int
    digest: str
    data: bytes
    held: str = ""
    inline: str = ""  # its Content-ID, when the text shows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a person reads of a message. `text` is all of it, `said` without what it quotes and without the
    signature; `page` is its HTML made safe ("" when there is none). `notes` say what was repaired or left
    out; `signed` is what is known of a signature or an encryption."""

    text: str = ""
    said: str = ""
    page: str = ""
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    signed: str = ""
