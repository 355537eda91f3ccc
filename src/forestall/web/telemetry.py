"""The console's and the API's way to the telemetry."""

from functools import cache

from django.conf import settings

from forestall.estate.tenancy import Scope
from forestall.telemetry.client import Store
from forestall.telemetry.scope import EVERY, Clients, clients_of


@cache
def store() -> Store:
    """The store of this installation; connections are made when first needed."""
    return Store("127.0.0.1", settings.CONFIG.port("store"), password=settings.DATA.key("store").hex())


def clients_of_scope(scope: Scope) -> Clients:
    """Whose telemetry a scope sees."""
    return EVERY if scope.everything else clients_of(scope.clients)
