"""One device's session: requests and walks by gufo-snmp over a few sockets, every one of them bounded.

A session is kept from poll to poll (v3 keys are costly to derive); it is used by one poll at a time. The
sockets are connected, so an answer from another address never arrives: `diagnosis` finds that out.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gufo.snmp import SnmpAuthError, SnmpDecodeError, SnmpError
from gufo.snmp._fast import GetIter, SnmpV1ClientSocket, SnmpV2cClientSocket, SnmpV3ClientSocket
from gufo.snmp.user import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    BaseAuthKey,
    BasePrivKey,
    DesKey,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    User,
)
from gufo.snmp.utils import format_sock_addr

from forestall.collect.answers import NotAsked

LANES = 3  # sockets with a request in flight each; an agent answers one after the other anyway
TRIES = 3  # of one request: datagrams do get lost
TRY_S = 2.0
REPETITIONS = 25  # rows in one answer: as many as fit into one packet of 1,500 bytes, mostly
GET_MAX = 20  # OIDs in one request
GET_LEAST = 5  # so few that an answer to them fits into any device's packets
ROWS_MAX = 10_000  # of one column
VALUES_MAX = 500_000  # of one poll
BYTES_MAX = 32 << 20  # of texts in one poll
AUTH = {
    "MD5": Md5Key, "SHA": Sha1Key, "SHA224": Sha224Key, "SHA256": Sha256Key, "SHA384": Sha384Key,
    "SHA512": Sha512Key,
}  # fmt: skip
PRIVACY = {"DES": DesKey, "AES128": Aes128Key, "AES192": Aes192Key, "AES256": Aes256Key}

Value = str | bytes | int | float | None
Column = dict[str, Value]
T = TypeVar("T")


class Silent(Exception):
    """Nothing came, in so many tries."""


class Refused(Exception):
    """The device answered that it does not accept who asks (v3)."""


class Nonsense(Exception):
    """What came cannot be understood, or leads in circles. The text says it."""


class TooMuch(Exception):
    """More than may be read in one poll. The text says it."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a device. `version` is 1, 2 or 3; `credential` as in `kernel.credentials`."""

    address: str
    port: int
    version: int
    credential: Mapping[str, str] = field(repr=False)

    @property
    def user(self) -> User:
        """The v3 user. Raises NotAsked for protocols that do not exist."""
        given = self.credential
        auth: BaseAuthKey | None = None
        private: BasePrivKey | None = None
        try:
            if given.get("auth_protocol"):
                auth = AUTH[given["auth_protocol"]](given.get("auth_passphrase", "").encode())
            if given.get("privacy_protocol"):
                private = PRIVACY[given["privacy_protocol"]](given.get("privacy_passphrase", "").encode())
            return User(given["user"], auth_key=auth, priv_key=private)
        except (KeyError, ValueError) as error:
            raise NotAsked(f"the credential for SNMP v3 is not whole: {error}") from error


class _Lane:
    """A socket with one request in flight."""

    def __init__(self, sock: Any, try_s: float) -> None:
        self.sock = sock
        self.try_s = try_s
        self._fd = sock.get_fd()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._watched = True
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        elif waiting is None:  # late, after its question was given up: it must not wake us again and again
            self._loop.remove_reader(self._fd)
            self._watched = False

    def close(self) -> None:
        """No more answers are taken."""
        if self._watched and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._watched = False

    async def ask(self, send: Callable[[], None], receive: Callable[[], T]) -> T:
        """Send and wait for the answer, again if it does not come. Raises Silent, Refused, Nonsense."""
        if not self._watched:
            self._loop.add_reader(self._fd, self._readable)
            self._watched = True
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(self.try_s):
                    return await self._exchange(send, receive)
            except TimeoutError:  # also, at once, when nothing listens
                continue
            except SnmpAuthError as error:
                raise Refused(str(error)) from error
            except SnmpDecodeError as error:
                raise Nonsense(f"an answer that is no SNMP ({error})") from error
            except OSError:  # no room to send, or no way there: a moment later perhaps
                await asyncio.sleep(self.try_s / 4)
                continue
            finally:
                self._waiting = None
        raise Silent

    async def _exchange(self, send: Callable[[], None], receive: Callable[[], T]) -> T:
        self._waiting = self._loop.create_future()
        send()
        while True:
            await self._waiting
            self._waiting = self._loop.create_future()
            try:
                return receive()
            except BlockingIOError:  # the answer to an earlier request
                continue


class Session:
    """A device. Make it, `await open()` before each poll, `close()` when it is no longer wanted."""

    def __init__(self, way: Way, *, try_s: float = TRY_S) -> None:
        self.way = way
        self.try_s = try_s
        self.values_left = VALUES_MAX
        self.bytes_left = BYTES_MAX
        self.requests = 0
        self.odd: list[str] = []  # what was strange and is told, at most a few
        self._lanes: list[_Lane] = []
        self._engine = b""

    async def open(self) -> None:
        """Ready for a poll: new limits; v3 learns the engine and its clock. Raises Silent, Refused, NotAsked,
        Nonsense."""
        self.values_left, self.bytes_left, self.odd, self.requests = VALUES_MAX, BYTES_MAX, [], 0
        if not self._lanes:
            self._lanes.append(await self._new_lane())
        elif self.way.version == 3:
            sock = self._lanes[0].sock
            await self._lanes[0].ask(sock.send_refresh, sock.recv_refresh)

    def spare(self) -> None:
        """Between polls one socket is enough."""
        for lane in self._lanes[1:]:
            lane.close()
        del self._lanes[1:]

    def close(self) -> None:
        """Close its sockets."""
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()

    async def _new_lane(self) -> _Lane:
        place = format_sock_addr(self.way.address, self.way.port)
        if self.way.version != 3:
            kind = SnmpV1ClientSocket if self.way.version == 1 else SnmpV2cClientSocket
            return _Lane(kind(place, self.way.credential.get("community", ""), 0, 0, 0, 0), self.try_s)
        user = self.way.user
        known = User.default() if not self._engine else user
        lane = _Lane(
            SnmpV3ClientSocket(
                place, self._engine, known.name, known.get_auth_alg(), known.get_auth_key(),
                known.get_priv_alg(), known.get_priv_key(), 0, 0, 0, 0,
            ),
            self.try_s,
        )  # fmt: skip
        try:
            await lane.ask(lane.sock.send_refresh, lane.sock.recv_refresh)
            if not self._engine:
                lane.sock.set_keys(
                    user.name, user.get_auth_alg(), user.get_auth_key(), user.get_priv_alg(),
                    user.get_priv_key(),
                )  # fmt: skip
                self._engine = lane.sock.get_engine_id()
                if user.require_auth():
                    await lane.ask(lane.sock.send_refresh, lane.sock.recv_refresh)
        except BaseException:
            lane.close()
            raise
        return lane

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """These values, those that the device has. Raises Silent, Refused, Nonsense, TooMuch."""
        found: dict[str, Value] = {}
        lane = self._lanes[0]
        for start in range(0, len(oids), GET_MAX):
            part = list(oids[start : start + GET_MAX])
            found.update(await self._get_part(lane, part))
        self._count(found.values())
        return found

    async def _get_part(self, lane: _Lane, part: list[str]) -> dict[str, Value]:
        """v1 refuses a whole request for one OID that is missing, small devices one that is too long: then
        half of it each."""
        self.requests += 1
        found: dict[str, Value] = {}
        with suppress(SnmpError):
            found = await lane.ask(lambda: lane.sock.send_get_many(part), lane.sock.recv_get_many)
        if found or len(part) <= (1 if self.way.version == 1 else GET_LEAST):
            return found
        half = len(part) // 2
        found = await self._get_part(lane, part[:half])
        return found | await self._get_part(lane, part[half:])

    async def columns(self, oids: Iterable[str]) -> dict[str, Column]:
        """Walks of these columns, several at once: OID of the column → index → value. A column that leads in
        circles or is too long is given as far as it was sound, and told in `odd`.

        Raises Silent, Refused, Nonsense, TooMuch.
        """
        waiting = list(dict.fromkeys(oids))
        found: dict[str, Column] = {}
        while len(self._lanes) < min(LANES, len(waiting)):
            self._lanes.append(await self._new_lane())

        async def work(lane: _Lane) -> None:
            while waiting:
                oid = waiting.pop(0)
                found[oid] = await self._walk(lane, oid)

        lanes = self._lanes[: max(1, min(LANES, len(waiting)))]
        tasks = [asyncio.ensure_future(work(lane)) for lane in lanes]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found

    async def walk(self, oid: str) -> Column:
        """Everything under an OID, by what follows it."""
        return await self._walk(self._lanes[0], oid, most=VALUES_MAX)

    async def _walk(self, lane: _Lane, oid: str, *, most: int = ROWS_MAX) -> Column:
        found: Column = {}
        skip = len(oid) + 1
        place = GetIter(oid, REPETITIONS)
        while True:
            part = await self._next(lane, place)
            if not part:
                return found
            ended = part[-1] is None
            if ended:
                part.pop()
            before = len(found)
            found.update((name[skip:], value) for name, value in part)
            if len(found) < before + len(part):
                self._strange(f"the table {oid} leads in circles after {len(found)} rows: it was cut there")
                return found
            if len(found) > most:
                self._strange(f"the table {oid} has more than {most} rows: the rest was left")
                return found
            self._count(value for _, value in part)
            if ended:
                return found

    async def _next(self, lane: _Lane, place: Any) -> list[Any]:
        """The next rows; None at the end of the column."""
        sock = lane.sock
        if self.way.version != 1:
            with suppress(StopAsyncIteration, SnmpError):
                self.requests += 1
                return await lane.ask(lambda: sock.send_get_bulk(place), lambda: sock.recv_get_bulk(place))
        # The end, or rows too big for one answer (then an agent sends none): a single row tells.
        self.requests += 1
        try:
            return [await lane.ask(lambda: sock.send_get_next(place), lambda: sock.recv_get_next(place))]
        except StopAsyncIteration:  # how gufo says the end
            return []
        except SnmpError:  # an agent that has nothing behind its last OID says so with an error
            return []

    def _strange(self, what: str) -> None:
        if len(self.odd) < 10:
            self.odd.append(what)

    def _count(self, values: Iterable[Value]) -> None:
        for value in values:
            self.values_left -= 1
            if value.__class__ is bytes:
                self.bytes_left -= len(value)
        if self.values_left < 0 or self.bytes_left < 0:
            raise TooMuch(f"more than {VALUES_MAX} values or {BYTES_MAX >> 20} MB of text in one poll")
