"""What people say about a stranger: whose it is, that it is a new asset, that it is nobody's business.

This only writes it down; the watch process lets go of what waits (`intake.quarantine`).
"""

from ipaddress import ip_address

from django.db import transaction
from django.utils import timezone

from forestall.estate.actions import add_asset, assign_address
from forestall.estate.checks import clean_addresses
from forestall.estate.enrolment import is_free
from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.intake.models import Stranger
from forestall.intake.values import OTHERS
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble


def assign_stranger(scope: Scope, stranger: Stranger, asset: Asset) -> None:
    """The sender is this asset from now on, and so is what waits. Raises Trouble when it cannot be."""
    _may_be_of(stranger, asset.client_id)
    with transaction.atomic():
        if not _answers_to(asset, stranger.sender):
            assign_address(scope, asset, stranger.sender)
        _let_go(scope, stranger, asset)


def make_asset_of(scope: Scope, stranger: Stranger, *, client: str, name: str, kind: str) -> Asset:
    """A new asset that is the sender. Raises Trouble when it cannot be."""
    _may_be_of(stranger, client)
    with transaction.atomic():
        asset = add_asset(
            scope, client=client, name=name or stranger.sender, kind=kind, addresses=_address(stranger.sender)
        )
        if not _answers_to(asset, stranger.sender):
            raise Trouble(
                f"{stranger.sender!r} can only be known as a name",
                "Call the asset so, then rename the sender.",
            )
        _let_go(scope, stranger, asset)
    return asset


def ignore_stranger(scope: Scope, stranger: Stranger) -> None:
    """What the sender sent and sends is counted and dropped."""
    _say(scope, stranger, state=Stranger.IGNORED)


def heed_stranger(scope: Scope, stranger: Stranger) -> None:
    """What an ignored sender sends from now on is kept again."""
    if stranger.state == Stranger.IGNORED:
        _say(scope, stranger, state=Stranger.WAITING)


def _may_be_of(stranger: Stranger, client: str) -> None:
    if stranger.sender == OTHERS:
        raise Trouble(
            "these are many senders, counted together", "Assign those that are listed on their own."
        )
    if stranger.client_id and stranger.client_id != client:
        raise Trouble(
            "this came with a token of another client", "Choose an asset of the client whose token it is."
        )
    if (stranger.client_id is None or _is_ip(stranger.sender)) and not is_free(client, stranger.sender):
        raise Trouble(
            f"{stranger.sender} is an address of another client's asset",
            "Take it from that asset first, or give the sender's program a token of its own.",
        )


def _let_go(scope: Scope, stranger: Stranger, asset: Asset) -> None:
    _say(scope, stranger, state=Stranger.RELEASED, asset=asset)


def _say(scope: Scope, stranger: Stranger, *, state: str, asset: Asset | None = None) -> None:
    now = timezone.now()
    with transaction.atomic():
        changed = (
            Stranger.objects.of(scope)
            .filter(pk=stranger.pk)
            .exclude(state__in=[Stranger.FEEDING, Stranger.DONE])
            .update(state=state, asset=asset, released_at=now if asset else None)
        )
        if not changed:
            raise Trouble("what this sender sent is being taken in already", "Look again in a moment.")
        append(
            f"intake.sender_{state}",
            client=asset.client_id if asset else stranger.client_id or "",
            subject=asset.pk if asset else stranger.pk,
            actor=scope.actor,
            body={"door": stranger.door, "sender": stranger.sender},
            at=now,
        )


def _answers_to(asset: Asset, sender: str) -> bool:
    """Whether routing finds the asset by that name or address already."""
    return sender.strip().lower() in (asset.name.strip().lower(), *(text.lower() for text in asset.addresses))


def _address(sender: str) -> list[str]:
    """The sender as an address of an asset, nothing when it cannot be one."""
    try:
        return clean_addresses([sender])
    except Trouble:
        return []


def _is_ip(sender: str) -> bool:
    try:
        ip_address(sender)
    except ValueError:
        return False
    return True
