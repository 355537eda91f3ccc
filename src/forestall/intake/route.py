"""Whose is it? The directory of collectors and addresses, by which observations find client and asset.

A collector's key names its client. For what devices push, the sender's address alone decides the client;
inside that client the host name in the message may pick the asset (a relay sends for others), else it is the
sender's own asset. Immutable: built by `intake.queries.load_directory`, replaced as a whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forestall.kernel.errors import Rejected
from forestall.kernel.ids import to_number


@dataclass(frozen=True, slots=True)
class RoutedAsset:
    """An asset as far as routing needs it; `addresses` are IP addresses and host names."""

    id: str
    client: str
    name: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutedCollector:
    """An enrolled collector and the asset that it runs on."""

    id: str
    client: str
    asset: str


@dataclass(frozen=True, slots=True)
class Place:
    """Client and asset, as identifiers and as numbers."""

    client: str
    asset: str
    client_number: int
    asset_number: int


class Directory:
    """A snapshot of the estate for routing. `loaded_at_ms` is from before it was read."""

    def __init__(
        self,
        assets: Iterable[RoutedAsset],
        collectors: Iterable[RoutedCollector],
        *,
        zones: Mapping[str, str] | None = None,
        loaded_at_ms: int = 0,
    ) -> None:
        self.loaded_at_ms = loaded_at_ms
        self._zones = dict(zones or {})
        self._places: dict[str, Place] = {}
        self._peers: dict[str, set[str]] = {}
        self._named: dict[str, set[str]] = {}
        self._hosts: dict[tuple[str, str], set[str]] = {}
        for asset in assets:
            self._places[asset.id] = Place(
                asset.client, asset.id, to_number(asset.client), to_number(asset.id)
            )
            for address in asset.addresses:
                if plain := _as_address(address):
                    self._peers.setdefault(plain, set()).add(asset.id)
                elif name := address.strip().lower().rstrip("."):
                    self._named.setdefault(name, set()).add(asset.id)
            for name in {
                spelling for text in (asset.name, *asset.addresses) for spelling in _spellings(text)
            }:
                self._hosts.setdefault((asset.client, name), set()).add(asset.id)
        self._collectors = {collector.id: collector for collector in collectors}

    def __len__(self) -> int:
        return len(self._places)

    def collector(self, identifier: str) -> RoutedCollector | None:
        """An enrolled collector."""
        return self._collectors.get(identifier)

    def place(self, asset: str, *, client: str) -> Place | None:
        """An asset of that client; an asset of another client does not exist."""
        place = self._places.get(asset)
        return place if place and place.client == client else None

    def place_of_peer(self, peer: str) -> Place | Rejected:
        """The client and the asset that an address belongs to."""
        owners = self._peers.get(peer, set())
        if not owners:
            return Rejected(f"unknown sender {peer}: give that address to an asset of the client that it is")
        clients = {self._places[asset].client for asset in owners}
        if len(clients) > 1:
            return Rejected(
                f"the sender {peer} is an address of {len(clients)} clients: leave it to one of them"
            )
        return self._places[min(owners)]

    def place_of_sender(self, peer: str, names: Sequence[str]) -> Place | Rejected:
        """The client and the asset of who proved these names by a certificate: that asset which has one of
        them as an address. Whose names nobody has is known by address."""
        owners = {asset for name in names for asset in self._named.get(name, ())}
        clients = {self._places[asset].client for asset in owners}
        if len(clients) > 1:
            return Rejected(
                f"the sender {names[0]} has names of {len(clients)} clients: leave each name to one of them"
            )
        return self._places[min(owners)] if owners else self.place_of_peer(peer)

    def place_of_host(self, host: str, sender: Place) -> Place:
        """The asset inside the sender's client that a message's host name means, else the sender itself."""
        for name in _spellings(host):
            found = self._hosts.get((sender.client, name), set())
            if len(found) == 1:
                return self._places[next(iter(found))]
            if sender.asset in found:
                return sender
        return sender

    def place_of_known_host(self, host: str, *, client: str) -> Place | None:
        """The one asset of that client that a host name means, None when it is none or several."""
        for name in _spellings(host):
            found = self._hosts.get((client, name), set())
            if found:
                return self._places[next(iter(found))] if len(found) == 1 else None
        return None

    def knows(self, sender: str, *, client: str) -> bool:
        """Whether a sender has an asset: by its address or the name that it proved, or with a client by its
        host name."""
        if not client and self._named.get(sender):
            return True
        if client and self.place_of_known_host(sender, client=client):
            return True
        place = self.place_of_peer(sender)
        return isinstance(place, Place) and client in ("", place.client)

    def zone_ms(self, client: str, at_ms: int) -> int:
        """How far the client's clocks are ahead of UTC at that time; 0 when its zone is not known."""
        zone = self._zones.get(client, "UTC")
        return 0 if zone == "UTC" else _offset_ms(zone, at_ms // 900_000)


def _as_address(text: str) -> str:
    """An IP address in its one spelling, or "" when it is none."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""


def _spellings(name: str) -> tuple[str, ...]:
    """How a host may be named, the most exact first: as it is, without its domain."""
    name = name.strip().lower().rstrip(".")
    if address := _as_address(name):
        return (address,)
    short = name.partition(".")[0]
    return tuple(dict.fromkeys(spelling for spelling in (name, short) if spelling))


@lru_cache(maxsize=4096)
def _offset_ms(zone: str, quarter: int) -> int:
    try:
        offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 0
    return int(offset.total_seconds() * 1000) if offset else 0
