"""What sort of message it is, which thread it belongs to, what becomes of it. Pure: facts and what is known
in, one decision with its reason out.

Sources: RFC 3834 (automatic answers), RFC 3464 (bounces), RFC 2919 and 2369 (lists), RFC 5546 (invitations).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from forestall.mail.values import Facts, Kind

HOPS_MOST = 40
AN_HOUR_MOST = 30  # messages of one sender that get through; the rest waits for a person
ACKNOWLEDGED_A_DAY_MOST = 5

_NOT_PEOPLE = re.compile(
    r"^(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|daemon)(?:[+.@-]|$)"
)
_AWAY = re.compile(
    r"^(?:auto(?:matic)?[- ]?(?:reply|response|antwort)|automatische antwort|out of (?:the )?office|"
    r"abwesenheits(?:notiz|assistent)|réponse automatique|respuesta automática|risposta automatica|"
    r"autosvar|automatisch antwoord)\b",
    re.I,
)  # fmt: skip
_ANSWER_OF_CALENDAR = frozenset({"REPLY", "COUNTER", "DECLINECOUNTER", "REFRESH"})


@dataclass(frozen=True, slots=True)
class ThreadNow:
    """A thread that a message proves to know."""

    id: str
    client: str
    number: int


@dataclass(frozen=True, slots=True)
class Who:
    """A contact with the sender's address."""

    contact: str
    client: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we know around a message. `by_token` and `by_reference` are threads that it proves, the best proof
    first; `client` and `plan` are those of the address that it came to; `bounced` is the message of ours that
    it says did not arrive."""

    by_token: tuple[ThreadNow, ...] = ()
    by_reference: tuple[ThreadNow, ...] = ()
    contacts: tuple[Who, ...] = ()
    staff: str = ""
    client: str = ""
    plan: str = ""
    last_hour: int = 0
    bounced: str = ""
    same: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """It is here already."""

    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """It is about a run of a backup plan."""

    plan: str
    why: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing comes of it; it is kept."""

    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A person says whose it is. `thread`: the one that it seems to belong to."""

    why: str
    client: str = ""
    thread: str = ""


@dataclass(frozen=True, slots=True)
class OnThread:
    """A line on a ticket that is there. `quiet`: it reopens nothing and is answered by nobody."""

    thread: ThreadNow
    why: str
    contact: str = ""
    quiet: bool = False
    staff: str = ""
    bounced: str = ""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """Work that nobody knew of. `acknowledge`: the sender may be told that we have it."""

    who: Who
    why: str
    acknowledge: bool = True


Decision = Repeat | Report | Ignore | Hold | OnThread | NewTicket


def decide_kind(facts: Facts) -> tuple[Kind, str]:
    """What sort of message it is, and why."""
    if facts.ours:
        return Kind.LOOP, "we sent it ourselves, and it came back"
    if facts.hops > HOPS_MOST:
        return Kind.LOOP, f"it went through {facts.hops} servers: it goes round in a circle"
    if facts.content_type == "multipart/report" or (facts.report_of and _nobody(facts)):
        return Kind.BOUNCE, "a server says what became of a message"
    if facts.method in _ANSWER_OF_CALENDAR:
        return Kind.INVITATION_ANSWER, "an answer to an invitation"
    if facts.auto_submitted == "auto-replied" or facts.answers_by_itself:
        return Kind.AUTO_REPLY, f"an automatic answer ({facts.answers_by_itself or 'Auto-Submitted'})"
    if _AWAY.match(facts.subject.strip()):
        return Kind.AUTO_REPLY, "its subject is that of an automatic answer"
    if _nobody(facts):
        return Kind.AUTO_REPLY if facts.references else Kind.MACHINE, "it has no sender to answer to"
    if facts.precedence in ("bulk", "junk", "list") or facts.list_id:
        return Kind.LIST, "it was sent to many (a list, or advertising)"
    if facts.auto_submitted not in ("", "no"):
        return Kind.MACHINE, f"a machine wrote it (Auto-Submitted: {facts.auto_submitted})"
    if facts.suppress and {"all", "autoreply"} & set(facts.suppress.lower().replace(",", " ").split()):
        return Kind.MACHINE, "a machine wrote it (X-Auto-Response-Suppress)"
    if facts.method:
        return Kind.INVITATION, "an invitation"
    return Kind.PERSON, "somebody wrote it"


def decide(facts: Facts, kind: Kind, known: Known) -> Decision:
    """What becomes of a message."""
    if known.same:
        return Repeat("the same message is here already")
    if known.plan:
        return Report(known.plan, "it came to the address of a backup plan")
    if kind is Kind.LOOP:
        return Ignore(decide_kind(facts)[1])
    thread, proof = _thread(known)
    if kind in (Kind.BOUNCE, Kind.AUTO_REPLY, Kind.INVITATION_ANSWER):
        return _quiet(facts, kind, known, thread)
    forged = _forged(facts)
    if forged:
        return Hold(forged, known.client)
    if known.last_hour >= AN_HOUR_MOST:
        return Hold(f"its sender wrote {known.last_hour} messages within an hour", known.client)
    if thread is not None:
        return _on_thread(facts, known, thread, proof)
    if kind is Kind.LIST:
        return Ignore(decide_kind(facts)[1])
    return _new(facts, kind, known)


def _nobody(facts: Facts) -> bool:
    """Whether there is nobody to answer to: an empty envelope sender (RFC 5321, 4.5.5), or a name for it."""
    return facts.envelope_sender == "<>" or not facts.sender or bool(_NOT_PEOPLE.match(facts.sender))


def _thread(known: Known) -> tuple[ThreadNow | None, str]:
    if known.by_token:
        return known.by_token[0], "token"
    if known.by_reference:
        return known.by_reference[0], "references"
    return None, ""


def _quiet(facts: Facts, kind: Kind, known: Known, thread: ThreadNow | None) -> Decision:
    said = decide_kind(facts)[1]
    if thread is None:
        return Ignore(f"{said}, about nothing that we know")
    if kind is not Kind.BOUNCE and any(one.client != thread.client for one in known.contacts[:1]):
        return Ignore(f"{said}, from a contact of another client")
    return OnThread(thread, said, _contact(known, thread.client), quiet=True, bounced=known.bounced)


def _forged(facts: Facts) -> str:
    """Why From cannot be believed, in the words of a host of ours; "" when nothing speaks against it."""
    if facts.authentication.get("dmarc") == "fail":
        domain = facts.sender.rpartition("@")[2]
        return f"From says {domain}, and {facts.authenticated_by} found that this is not so (DMARC)"
    return ""


def _on_thread(facts: Facts, known: Known, thread: ThreadNow, proof: str) -> Decision:
    """A message that proves a thread goes there, unless its sender belongs somewhere else."""
    if known.staff:
        return OnThread(thread, f"{known.staff} wrote it by mail, as far as From says", staff=known.staff)
    contact = _contact(known, thread.client)
    if contact:
        return OnThread(thread, f"it answers (by {proof})", contact)
    if known.contacts:
        return Hold("its sender is a contact of another client than the ticket's", thread=thread.id)
    if proof == "token":
        why = f"it has the ticket's token; {facts.sender or 'its sender'} is no contact of the client"
        return OnThread(thread, why)
    return Hold(
        f"it refers to ticket #{thread.number}, and nobody knows {facts.sender or 'its sender'}",
        thread.client, thread.id,
    )  # fmt: skip


def _new(facts: Facts, kind: Kind, known: Known) -> Decision:
    if known.staff:
        return Hold(f"{known.staff} is one of us, as far as From says: whose is it?", known.client)
    mine = [one for one in known.contacts if not known.client or one.client == known.client]
    if len({one.client for one in mine}) == 1:
        return NewTicket(mine[0], decide_kind(facts)[1], acknowledge=kind is Kind.PERSON)
    if mine:
        return Hold("its sender is a contact of several clients: of which is it?")
    if known.contacts:
        return Hold("its sender is a contact of another client than the one of the address", known.client)
    return Hold(f"nobody knows {facts.sender or 'its sender'}", known.client)


def _contact(known: Known, client: str) -> str:
    return next((one.contact for one in known.contacts if one.client == client), "")


def decide_address(recipients: Sequence[str], ours: Sequence[str]) -> str:
    """The most telling address of ours among the recipients (they stand without what is behind a `+`)."""
    wanted = set(ours)
    return next((one for one in recipients if one in wanted), "")
