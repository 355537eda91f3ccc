"""What people do with what was set aside by mistakes of ours: replay it, or throw it away. In the journal."""

from pathlib import Path

from django.utils import timezone

from forestall.estate.tenancy import Scope
from forestall.intake import poison
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble


def replay(scope: Scope, directory: Path, name: str) -> None:
    """The watch process feeds it to the queue again. Raises Trouble when there is none of that name."""
    _may(scope)
    poison.order_replay(directory, name)
    append("intake.replayed", actor=scope.actor, body={"name": name}, at=timezone.now())


def throw_away(scope: Scope, directory: Path, name: str) -> None:
    """It is gone. Raises Trouble when there is none of that name."""
    _may(scope)
    poison.need(directory, name)
    append("intake.thrown_away", actor=scope.actor, body={"name": name}, at=timezone.now())
    poison.throw_away(directory, name)


def _may(scope: Scope) -> None:
    """It can be of any client."""
    if not scope.everything:
        raise Trouble("nothing is set aside that you may see", "Ask somebody who sees every client.")
