"""The telemetry store as the API reads it, and the gate in front of it."""

from functools import cache

from django.conf import settings

from forestall.estate.tenancy import Scope
from forestall.telemetry.client import Store
from forestall.telemetry.scope import EVERY, Clients, clients_of


@cache
def store() -> Store:
    """The installation's store; connects when first asked."""
    return Store("127.0.0.1", settings.CONFIG.port("store"), password=settings.DATA.key("store").hex())


def clients_in(scope: Scope) -> Clients:
    """The clients whose telemetry this reader sees."""
    return EVERY if scope.everything else clients_of(scope.clients)
