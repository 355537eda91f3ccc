"""Who may do what: scopes and rights of people, API tokens, the one-time set-up link."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.utils import timezone

from forestall.estate.models import ApiToken, Asset, Client, Person, Provider, SetupLink
from forestall.estate.tenancy import NOBODY, Scope
from forestall.estate.values import RIGHTS, ROLE_RIGHTS, Role
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

TOKEN_PREFIX = "fst_"  # noqa: S105 - what secrets begin with
USED_EVERY = timedelta(minutes=1)


class Refused(Exception):
    """The person or token may not do this; pages and the API answer 403."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a request is made for: whose data they see, what they may do. `bound`: the client that the token
    is bound to, if it is to one."""

    scope: Scope
    rights: frozenset[str]
    person: Person | None = None
    bound: str | None = None


ANONYMOUS = Bearer(NOBODY, frozenset())
ACTOR_MAX_CHARS = 160
TOKEN_NAME_MAX_CHARS = 80


def scope_of(person: Person | AnonymousUser | None) -> Scope:
    """The clients that a person sees. Client contacts never see all clients, whatever their row says."""
    if not isinstance(person, Person) or not person.is_active:
        return NOBODY
    actor = person.email[:ACTOR_MAX_CHARS]
    if person.all_clients and person.role != Role.CLIENT_CONTACT:
        return Scope(actor=actor, everything=True)
    return Scope(actor=actor, clients=frozenset(person.clients.values_list("pk", flat=True)))


def rights_of(person: Person | AnonymousUser | None) -> frozenset[str]:
    """What a person's role allows now."""
    if not isinstance(person, Person) or not person.is_active:
        return frozenset()
    return ROLE_RIGHTS[Role(person.role)]


def require(rights: frozenset[str], right: str) -> None:
    """Raise Refused unless the right is among them."""
    if right not in rights:
        raise Refused(f"this needs the right {right}; ask an owner of your installation for it")


def bearer_of_person(person: Person | AnonymousUser | None) -> Bearer:
    """Somebody who is signed in, with all that their role allows."""
    return Bearer(scope_of(person), rights_of(person), person if isinstance(person, Person) else None)


def make_token(
    person: Person,
    *,
    name: str,
    may: Iterable[str],
    client: str | None = None,
    expires_at: datetime | None = None,
    by: Bearer | None = None,
    asset: str | None = None,
    rate_bytes_per_s: int | None = None,
    body_max_bytes: int | None = None,
) -> tuple[ApiToken, str]:
    """A bearer token and its secret, which is shown once. Raises Trouble for a right that does not exist or
    that its maker has not, and for a client that its maker does not see. `by` is the token with which the
    person asks for another one: that cannot exceed it either. The rest is for programs that push (see
    ApiToken): an asset of that client, and limits."""
    asker = by or bearer_of_person(person)
    wanted = sorted(set(may))
    unknown = [right for right in wanted if right not in RIGHTS]
    if unknown:
        raise Trouble(f"there is no right {unknown[0]!r}", f"Rights are {', '.join(RIGHTS)}.")
    beyond = [right for right in wanted if right not in asker.rights & rights_of(person)]
    if beyond:
        raise Trouble(f"{person.email} may not {beyond[0]}", "A token never exceeds the rights of its maker.")
    mine = scope_of(person)
    if client is not None and not (mine.sees(client) and asker.scope.sees(client) and _is_client(client)):
        raise Trouble("there is no such client", "Give the identifier of a client that its maker sees.")
    if client is None and asker.bound is not None:
        raise Trouble("this token is bound to a client", "Name that client for the new token too.")
    if asset and not Asset.objects.filter(pk=asset, client=client, archived_at=None).exists():
        raise Trouble("the client has no such asset", "Name the client too, and one of its assets.")
    for limit in (rate_bytes_per_s, body_max_bytes):
        if limit is not None and not 0 < limit < 1 << 40:
            raise Trouble("a limit is a number of bytes above 0", "Leave it empty for the usual one.")
    name = name.strip()
    if not name or len(name) > TOKEN_NAME_MAX_CHARS:
        raise Trouble(f"a token has a name of 1 to {TOKEN_NAME_MAX_CHARS} characters", "Say what it is for.")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    if expires_at is not None and expires_at <= now:
        raise Trouble("that end of the token is in the past", "Choose a later one, or none.")
    with transaction.atomic():
        token = ApiToken.objects.create(
            person=person,
            client_id=client,
            asset_id=asset or None,
            rate_bytes_per_s=rate_bytes_per_s,
            body_max_bytes=body_max_bytes,
            name=name,
            may=wanted,
            token_hash=hash_secret(secret),
            made_at=now,
            expires_at=expires_at,
        )
        append("access.token_made", client=client or "", subject=token.pk, actor=person.email,
               body={"name": name, "may": wanted, "asset": asset or ""}, at=now)  # fmt: skip
    return token, secret


def revoke_token(token: ApiToken, *, actor: str) -> None:
    """The token opens nothing from now on."""
    now = timezone.now()
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
            return
        append(
            "access.token_revoked",
            client=token.client_id or "",
            subject=token.pk,
            actor=actor,
            body={},
            at=now,
        )


def bearer_of(header: str) -> Bearer:
    """Who an `Authorization: Bearer …` header speaks for; ANONYMOUS when it does not open anything.

    Rights are those of the token that its maker still has; data are those that its maker still sees.
    """
    kind, _, secret = header.partition(" ")
    if kind.lower() != "bearer" or not secret.startswith(TOKEN_PREFIX):
        return ANONYMOUS
    token = (
        ApiToken.objects.select_related("person")
        .filter(token_hash=hash_secret(secret.strip()), revoked_at=None)
        .first()
    )
    now = timezone.now()
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        return ANONYMOUS
    if token.last_used_at is None or now - token.last_used_at > USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    scope = scope_of(token.person)
    if token.client_id is not None:
        scope = scope.narrowed(token.client_id)
    actor = f"{scope.actor} (token {token.name})"[:ACTOR_MAX_CHARS]
    scope = Scope(actor=actor, everything=scope.everything, clients=scope.clients)
    return Bearer(scope, frozenset(token.may) & rights_of(token.person), token.person, token.client_id)


def rights_of_bearer(header: str) -> frozenset[str]:
    """The rights that a bearer header opens."""
    return bearer_of(header).rights


def make_setup_link() -> str:
    """The secret of a fresh one-time set-up link; "" when there is an owner already. Older links die."""
    with transaction.atomic():
        if Person.objects.filter(role=Role.OWNER).exists():
            SetupLink.objects.all().delete()
            return ""
        SetupLink.objects.all().delete()
        secret = secrets.token_urlsafe(32)
        SetupLink.objects.create(token_hash=hash_secret(secret), made_at=timezone.now())
    return secret


def is_setup_link(secret: str) -> bool:
    """Whether this link would still set up the installation."""
    return (
        SetupLink.objects.filter(token_hash=hash_secret(secret), used_at=None).exists()
        and not Person.objects.filter(role=Role.OWNER).exists()
    )


def use_setup_link(secret: str, *, provider: str, name: str, email: str, password: str) -> Person:
    """Make the first owner. Raises Refused when the link was used, ValidationError for a weak password."""
    now = timezone.now()
    with transaction.atomic():
        used = SetupLink.objects.filter(token_hash=hash_secret(secret), used_at=None).update(used_at=now)
        if not used or Person.objects.filter(role=Role.OWNER).exists():
            raise Refused("this link was used or has been replaced; restart Forestall for a new one")
        owner = make_person(
            name=name, email=email, password=password, role=Role.OWNER, all_clients=True, actor=email
        )
        Provider.objects.update_or_create(id=1, defaults={"name": provider})
    return owner


def make_person(
    *,
    name: str,
    email: str,
    role: Role,
    actor: str,
    password: str | None = None,
    all_clients: bool = False,
    clients: Iterable[str] = (),
) -> Person:
    """A new person. Raises ValidationError for a weak password, Trouble for an address that is taken."""
    email = email.strip().lower()
    if Person.objects.filter(email=email).exists():
        raise Trouble(f"{email} is somebody here already", "Use another address, or change that person.")
    if role is Role.CLIENT_CONTACT and all_clients:
        raise Trouble("a client contact does not see all clients", "Name the client.")
    if password is not None:
        validate_password(password, Person(email=email, name=name))
    now = timezone.now()
    with transaction.atomic():
        person = Person.objects.create_user(
            email, password, name=name, role=role.value, all_clients=all_clients
        )
        chosen = list(Client.objects.filter(pk__in=list(clients)))
        person.clients.set(chosen)
        append("access.person_made", subject=person.pk, actor=actor,
               body={"email": email, "role": role.value, "all_clients": all_clients,
                     "clients": [client.pk for client in chosen]}, at=now)  # fmt: skip
    return person


def note_sign_in(person: Person, *, address: str) -> None:
    """Write into the journal that somebody signed in, from where."""
    append("access.signed_in", subject=person.pk, actor=person.email[:ACTOR_MAX_CHARS],
           body={"address": address}, at=timezone.now())  # fmt: skip


def note_link(person: Person, *, actor: str) -> None:
    """Write into the journal that a link was made at which this person chooses a password."""
    append("access.link_made", subject=person.pk, actor=actor[:ACTOR_MAX_CHARS], body={}, at=timezone.now())


def _is_client(identifier: str) -> bool:
    return Client.objects.filter(pk=identifier).exists()


def hash_secret(secret: str) -> bytes:
    """As secrets are kept: those of 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
