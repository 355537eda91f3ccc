"""Calls of Zabbix' API that push values (`history.push`), as JSON-RPC. Pure.

A value is what it is over the trapper (`collect.parsers.zabbix`): a number becomes a sample of the host that
it names, a text a log line.

Source: https://www.zabbix.com/documentation/current/en/manual/api/reference/history/push.
"""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import Struct

from forestall.collect.listeners import PushedLine, PushedNumber, Records
from forestall.collect.parsers.zabbix import NotZabbix, read_request
from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.listening import as_pushed

VALUES_MAX = 5_000
PUSH, LOGIN, LOGOUT, VERSION = "history.push", "user.login", "user.logout", "apiinfo.version"


class Call(Struct, frozen=True):
    """One call. `id` is what its answer says again."""

    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    id: int | str | None = None


class Login(Struct, frozen=True):
    """Who signs in; `user` is how versions before 5.4 call `username`."""

    password: str
    username: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class PushReading(Reading):
    """`errors`: of every value in its order why it was not taken, "" when it was."""

    errors: tuple[str, ...] = ()


Told = TypeVar("Told")

_calls = msgspec.json.Decoder(Call)
_logins = msgspec.json.Decoder(Login)


def read_call(body: bytes) -> Call:
    """The call that a body is. Raises ValueError; several calls in one body are not taken."""
    return _decode(_calls, body, "a call of Zabbix' API, JSON-RPC with method and params")


def read_login(params: bytes) -> Login:
    """Who signs in. Raises ValueError."""
    return _decode(_logins, params, "a user.login with username and password")


def read_push(params: bytes, *, received_at_ms: int) -> PushReading:
    """The values of a history.push, one or a list of them. Raises ValueError."""
    given = params.lstrip()
    values = [msgspec.Raw(given)]
    if given[:1] == b"[":
        values = _decode(msgspec.json.Decoder(list[msgspec.Raw]), given, "a list of values")
    if len(values) > VALUES_MAX:
        raise ValueError(f"a call has at most {VALUES_MAX} values: send fewer at once")
    lines: list[PushedLine] = []
    numbers: list[PushedNumber] = []
    errors = []
    for value in values:
        data = b'{"request":"history.push","data":[%b]}' % bytes(value)
        try:
            request = read_request(data, received_at_ms=received_at_ms)
            error = next(iter(request.refused), "" if request.total == 1 else "this is no value")
        except NotZabbix as wrong:
            error = str(wrong)
        if not error:
            lines += request.lines
            numbers += request.numbers
        errors.append(error)
    refused = [Refused(place, error) for place, error in enumerate(errors) if error]
    pushed = as_pushed(Records("", "zabbix_api", received_at_ms, lines, numbers))
    return PushReading(pushed, tuple(refused[:REFUSED_MAX]), len(refused), tuple(errors))


def _decode(decoder: "msgspec.json.Decoder[Told]", data: bytes, what: str) -> Told:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is not {what}: {error}") from error
