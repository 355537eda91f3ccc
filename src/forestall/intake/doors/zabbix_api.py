"""The door for what pushes values to Zabbix' API (borgmatic's hook, scripts with `history.push`).

Signs in by an API token, which is one of ours, or by user.login with one of ours as the password; the session
that is answered is that token. Everything else of Zabbix' API is refused as a method that does not exist.
"""

from dataclasses import replace

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, answer_json, refuse
from forestall.intake.formats.zabbix_api import (
    LOGIN,
    LOGOUT,
    PUSH,
    VALUES_MAX,
    VERSION,
    Call,
    read_call,
    read_login,
    read_push,
)
from forestall.intake.gate import Admitted, admit, aside, note_refused, take, turn_away, unpack
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="zabbix_api",
    title="Zabbix API",
    about="Values that are pushed to Zabbix' API: numbers become samples of the host that they name, texts"
    " log lines.",
    source="Zabbix 7.0 manual, API, history.push",
    limits=f"{VALUES_MAX} values a call, which name host and key; one call a body; no other methods.",
)
PATHS = ("/api_jsonrpc.php", "/zabbix/api_jsonrpc.php")
BODY_MAX_BYTES = 4 << 20
SPEAKS = "7.0.0"  # the version since which values are pushed so
NO_METHOD, BAD_PARAMS = -32601, -32602


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 with a result when the values are on the disk, or with an error, as JSON-RPC has it; 401, 413, 429
    and 503 as of every door."""
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    try:
        call = read_call(unpack(request, most=BODY_MAX_BYTES))
        if call.method == VERSION:
            return _result(call, SPEAKS)
        if call.method == LOGIN:
            return await _login(call, request, desk)
    except ValueError as error:
        return refuse(400, str(error), "Send one call as application/json-rpc.")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    if call.method == LOGOUT:
        return _result(call, result=True)
    if call.method != PUSH:
        return _error(call, NO_METHOD, f"only {PUSH} is taken here, not {call.method[:60]}")
    return await _push(call, admitted, request, desk)


async def _login(call: Call, request: DoorRequest, desk: Desk) -> DoorAnswer:
    """The token that is the password, when it may push. Raises ValueError."""
    secret = read_login(bytes(call.params)).password
    admitted = await admit(replace(request, headers={"authorization": f"Bearer {secret}"}), desk)
    return admitted if isinstance(admitted, DoorAnswer) else _result(call, secret)


async def _push(call: Call, admitted: Admitted, request: DoorRequest, desk: Desk) -> DoorAnswer:
    try:
        reading = await aside(read_push, bytes(call.params), received_at_ms=admitted.at_ms)
        await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    except ValueError as error:
        turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
        return _error(call, BAD_PARAMS, str(error))
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    told = [{"error": error} if error else {"itemid": ""} for error in reading.errors]
    return _result(call, {"response": "success", "data": told})


def _result(call: Call, result: object) -> DoorAnswer:
    return answer_json(200, {"jsonrpc": "2.0", "result": result, "id": call.id})


def _error(call: Call, code: int, what: str) -> DoorAnswer:
    message = {NO_METHOD: "Method not found.", BAD_PARAMS: "Invalid params."}[code]
    error = {"code": code, "message": message, "data": what}
    return answer_json(200, {"jsonrpc": "2.0", "error": error, "id": call.id})
