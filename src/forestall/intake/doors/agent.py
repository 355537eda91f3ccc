"""The door of our own agents and collectors: enrol, send observations, fetch work, rotate the key."""

import asyncio
from functools import partial
from ipaddress import ip_address
from typing import Any

import msgspec
import zstandard

from forestall.collect.agent.sign import Claim, read_claim, refusal
from forestall.estate import enrolment
from forestall.estate.enrolment import KnownCollector, NotEnrolled
from forestall.intake.counts import ACCEPTED, REJECTED
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, answer_json, refuse
from forestall.intake.envelope import Envelope, encode_envelope
from forestall.intake.values import Rejection
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import BATCH_MAX_BYTES, Batch, Observations, decode_batch
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="agent",
    title="Forestall agents",
    about="Batches of observations from enrolled agents, signed with each agent's own key.",
    source="ARCHITECTURE.md; collect/agent/sign.py",
    limits="8 MB a batch when unpacked; a body may unpack to 200 times its size.",
)
PATHS = (
    "/agent/v1/enrol",
    "/agent/v1/observations",
    "/agent/v1/work",
    "/agent/v1/rotate",
)
BODY_MAX_BYTES = 4 << 20
RATIO_MAX = 200
SMALL_BYTES = 1 << 20
ADDRESSES_MAX = 50
KNOWN_FOR_MS = 30_000
KNOWN_MAX = 10_000
ASK_AGAIN_MS = 1_000  # a wrong signature asks the database at most so often

_known: dict[str, tuple[KnownCollector, int]] = {}  # collector → what is known of it, and since when
_seen_ms: dict[str, int] = {}
_own_assets: dict[str, set[str]] = {}  # client → assets that were found to be its own


class _Hello(msgspec.Struct, frozen=True):
    """What a machine says when it is enrolled."""

    token: str
    public_key: str
    hostname: str = ""
    platform: str = ""
    version: str = ""
    addresses: list[str] = []
    kind: str = ""


class _NewKey(msgspec.Struct, frozen=True):
    """The key with which a collector will sign from now on."""

    public_key: str


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """Any of PATHS."""
    wanted = "GET" if request.path.endswith("/work") else "POST"
    if request.method != wanted:
        return refuse(405, f"{request.path} takes {wanted}", allow=wanted)
    if request.path.endswith("/enrol"):
        return await _enrol(request, desk)
    collector = await _who(request, desk)
    if isinstance(collector, DoorAnswer):
        return collector
    if request.path.endswith("/work"):
        return answer_json(200, await desk.ask(enrolment.work_of, collector.id))
    if request.path.endswith("/rotate"):
        return await _rotate(request, desk, collector)
    return await _observations(request, desk, collector)


async def _enrol(request: DoorRequest, desk: Desk) -> DoorAnswer:
    try:
        hello = msgspec.json.decode(request.body, type=_Hello)
        key, claimed = _read_key(hello.public_key), _addresses(hello.addresses)
        known = await desk.ask(
            enrolment.enrol_collector,
            hello.token,
            public_key=key,
            hostname=_printable(hello.hostname, 140),
            platform=_printable(hello.platform, 80),
            version=_printable(hello.version, 40),
            addresses=claimed,
            peer=request.peer if request.peer in claimed else "",
            kind=hello.kind,
            now=desk.clock.now(),
        )
    except (msgspec.MsgspecError, ValueError) as error:
        return refuse(400, f"this is not an enrolment: {error}", "Use forestall agent enrol.")
    except NotEnrolled as error:
        _note(request, desk, str(error), raw=b"")
        return refuse(401, str(error), "Make a new token in the console under Collectors.")
    return answer_json(200, {"collector": known.id, "client": known.client, "asset": known.asset})


async def _who(request: DoorRequest, desk: Desk) -> KnownCollector | DoorAnswer:
    """The collector whose key signed the request, or the refusal."""
    claim = read_claim(request.headers.get("authorization", ""))
    if claim is None:
        return refuse(401, "the request is not signed by a collector", "Enrol this machine again.")
    now_ms = to_ms(desk.clock.now())
    known, since_ms = _known.get(claim.collector, (None, 0))
    why = ""
    if known is not None and 0 <= now_ms - since_ms <= KNOWN_FOR_MS:
        why = await _refusal(request, claim, known, now_ms)
    if known is None or why or not 0 <= now_ms - since_ms <= KNOWN_FOR_MS:
        if why and now_ms - since_ms < ASK_AGAIN_MS:
            return refuse(401, why)
        known = await desk.ask(enrolment.find_collector, claim.collector)  # its key may have been renewed
        if known is None:
            _known.pop(claim.collector, None)
            return refuse(401, "this collector is not enrolled, or was revoked", "Enrol this machine again.")
        if len(_known) >= KNOWN_MAX:
            _known.clear()
        _known[claim.collector] = (known, now_ms)
        why = await _refusal(request, claim, known, now_ms)
    if why:
        return refuse(401, why)
    if now_ms - _seen_ms.get(known.id, 0) > KNOWN_FOR_MS:
        if len(_seen_ms) >= KNOWN_MAX:
            _seen_ms.clear()
        _seen_ms[known.id] = now_ms
        await desk.ask(enrolment.note_seen, known.id, now=desk.clock.now())
    return known


async def _refusal(request: DoorRequest, claim: Claim, known: KnownCollector, now_ms: int) -> str:
    check = partial(
        refusal,
        claim,
        known.public_key,
        method=request.method,
        path=request.path,
        body=request.body,
        now_ms=now_ms,
    )
    return check() if len(request.body) < SMALL_BYTES // 4 else await asyncio.to_thread(check)


async def _observations(request: DoorRequest, desk: Desk, collector: KnownCollector) -> DoorAnswer:
    if request.headers.get("content-encoding") != "zstd":
        return refuse(415, "a batch comes compressed with zstd", "Send Content-Encoding: zstd.")
    try:
        batch = await asyncio.to_thread(_read_batch, request.body)
    except ValueError as error:
        _note(request, desk, str(error), client=collector.client, raw=request.body)
        return refuse(400, str(error), "The batch was kept for inspection under Rejected input.")
    frame = encode_envelope(
        Envelope(
            kind="observations",
            received_at_ms=to_ms(desk.clock.now()),
            client=collector.client,
            collector=collector.id,
            peer=request.peer,
            body=request.body,
        )
    )
    strangers = await _strangers(batch, desk, collector.client)
    await desk.queue.append_async(frame)
    desk.counts.add(SPEC.name, ACCEPTED, sum(map(_size, batch.observations)))
    answer: dict[str, Any] = {"accepted": batch.number}
    if strangers:  # the decoder takes the rest
        answer["rejected"] = [
            {
                "record": f"observations[{index}]",
                "reason": f"{asset} is no asset of this collector's client",
            }
            for index, asset in strangers
        ]
    return answer_json(200, answer)


def _size(part: Observations) -> int:
    return len(part.samples) + len(part.logs) + len(part.snapshots) + len(part.outcomes) + len(part.backups)


async def _strangers(batch: Batch, desk: Desk, client: str) -> list[tuple[int, str]]:
    """Observations of assets that are not of the client, by their place in the batch."""
    named = {part.asset for part in batch.observations if part.asset}
    unknown = sorted(named - _own_assets.get(client, set()))
    if not unknown:
        return []
    found: set[str] = await desk.ask(enrolment.find_assets, client, unknown)
    if len(_own_assets) >= KNOWN_MAX or len(_own_assets.get(client, ())) >= KNOWN_MAX:
        _own_assets.clear()
    _own_assets.setdefault(client, set()).update(found)
    missing = set(unknown) - found
    return [(index, part.asset) for index, part in enumerate(batch.observations) if part.asset in missing]


def _read_batch(body: bytes) -> Batch:
    """The batch. Raises ValueError for what is no zstd, unpacks to too much, or is no batch."""
    try:
        size = zstandard.frame_content_size(body)
        if size < 0 or size > BATCH_MAX_BYTES:
            raise ValueError(f"a batch says its size, of at most {BATCH_MAX_BYTES} bytes")
        if size > SMALL_BYTES and size > len(body) * RATIO_MAX:
            raise ValueError(
                f"a body may unpack to {RATIO_MAX} times its size, this one to {size // len(body)}"
            )
        return decode_batch(zstandard.ZstdDecompressor().decompress(body, max_output_size=BATCH_MAX_BYTES))
    except zstandard.ZstdError as error:
        raise ValueError(f"this is not zstd: {error}") from error


async def _rotate(request: DoorRequest, desk: Desk, collector: KnownCollector) -> DoorAnswer:
    try:
        key = _read_key(msgspec.json.decode(request.body, type=_NewKey).public_key)
    except (msgspec.MsgspecError, ValueError) as error:
        return refuse(400, f"this is not a key: {error}", "Send 64 hexadecimal digits.")
    await desk.ask(enrolment.rotate_key, collector.id, public_key=key, now=desk.clock.now())
    _known.pop(collector.id, None)
    return answer_json(200, {"collector": collector.id})


def _read_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError("an ed25519 key has 32 bytes")
    return key


def _printable(text: str, most: int) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:most].strip()


def _addresses(given: list[str]) -> list[str]:
    """The addresses among what was given, each in its one spelling. Raises ValueError for anything else."""
    found = dict.fromkeys(ip_address(text) for text in given[:ADDRESSES_MAX])
    return [str(address) for address in found if not (address.is_loopback or address.is_link_local)]


def _note(request: DoorRequest, desk: Desk, reason: str, *, raw: bytes, **more: Any) -> None:
    desk.counts.add(SPEC.name, REJECTED, 1)
    desk.reject(
        Rejection(
            door=SPEC.name, sender=request.peer, reason=reason, at_ms=to_ms(desk.clock.now()), raw=raw, **more
        )
    )
