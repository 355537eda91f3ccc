"""What outside programs pushed, a frame each, routed by the host names in it. No Python per row.

A token's client is fixed; inside it the host that a record names decides the asset, else the token's asset,
else (nobody named a host) the asset whose address the sender has. A listener that has no token knows its
sender by address, and so the client, as syslog does. What is about nobody who is known becomes strays, one a
host.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.intake.decode_rows import LogRows, SampleRows, outcome_log, outcome_samples
from forestall.intake.decoded import EARLY_MAX_MS, PlacedOutcome, Work
from forestall.intake.envelope import Envelope, encode_envelope
from forestall.intake.parting import part_pushed, take_rows
from forestall.intake.pushed import Pushed, PushedOutcome, decode_pushed
from forestall.intake.route import Place
from forestall.intake.values import OTHERS, SENDER_MAX_CHARS
from forestall.kernel.columns import I64, U64, LogColumns, SampleColumns
from forestall.kernel.errors import Rejected

HOSTS_KEPT_MAX = 100  # unknown hosts of one frame that are kept apart; the rest are counted together
RELAYS = frozenset(("traps",))  # whose hosts are hints: a host that is not known means the sender itself
STRAY_FRAME_MAX_BYTES = 1 << 20


class PushedRecords:
    """Gathers columns from many frames."""

    def __init__(self, work: Work, samples: SampleRows, logs: LogRows) -> None:
        self._work = work
        self._samples, self._logs = samples, logs
        self.log_parts: list[LogColumns] = []
        self.sample_parts: list[SampleColumns] = []

    def take(self, envelope: Envelope) -> None:
        """One frame."""
        work, door = self._work, envelope.transport
        try:
            pushed = decode_pushed(envelope.body)
        except ValueError as error:
            work.reject(
                door,
                envelope.peer,
                str(error),
                envelope.received_at_ms,
                envelope.body,
                client=envelope.client,
            )
            return
        router = _Router(work, envelope)
        if envelope.asset and work.directory.place(envelope.asset, client=envelope.client) is None:
            work.strangers.add(envelope.asset)
        logs, samples = pushed.logs, pushed.samples
        log_rows, log_client, log_asset = router.route(logs.host, len(logs))
        if log_rows is not None:
            logs, log_client, log_asset = take_rows(logs, log_rows), log_client[log_rows], log_asset[log_rows]
        if len(logs):
            received = np.full(len(logs), envelope.received_at_ms, np.int64)
            self.log_parts.append(
                LogColumns(
                    log_client,
                    log_asset,
                    _in_time(logs.at_ms, envelope.received_at_ms),
                    received,
                    logs.severity,
                    logs.facility,
                    *(
                        _text(getattr(logs, name), coded=name not in ("message", "raw"))
                        for name in ("source", "host", "message", "raw", "attrs")
                    ),
                )
            )
        rows, client, asset = router.route(samples.host, len(samples))
        if rows is not None:
            samples, client, asset = take_rows(samples, rows), client[rows], asset[rows]
        if len(samples):
            at_ms = _in_time(samples.at_ms, envelope.received_at_ms)
            self.sample_parts.append(
                SampleColumns(client, asset, samples.metric, samples.item, at_ms, samples.value)
            )
        self._take_outcomes(pushed.outcomes, router, envelope)
        router.tell_strays(pushed)

    def _take_outcomes(
        self, outcomes: Sequence[PushedOutcome], router: "_Router", envelope: Envelope
    ) -> None:
        at_ms = envelope.received_at_ms
        for told in outcomes:
            place = router.place_of_outcome(told)
            if place is None:
                continue
            outcome = told.outcome
            self._work.outcomes.append(
                PlacedOutcome(place.client, place.asset, place.asset_number, "", at_ms, outcome)
            )
            rows = [row for row in outcome_samples(outcome) if -np.inf < row[3] < np.inf]
            self._samples.add(place, rows, at_ms)
            if not outcome.ok:
                self._logs.rows.append(outcome_log(outcome, place, at_ms))


class _Router:
    """Finds the places of one frame's records, each distinct host once."""

    def __init__(self, work: Work, envelope: Envelope) -> None:
        self._work = work
        self._envelope = envelope
        self._own: Place | None = None
        self._why = ""
        peer = work.directory.place_of_peer(envelope.peer)
        if isinstance(peer, Rejected):
            self._why = peer.reason
        if envelope.client:
            self._own = work.directory.place(envelope.asset, client=envelope.client)
            self._peer = peer if isinstance(peer, Place) and peer.client == envelope.client else None
        else:
            self._peer = peer if isinstance(peer, Place) else None
        self._client = envelope.client or (self._peer.client if self._peer else "")
        self._places: dict[str, Place | None] = {}
        self._strays: dict[str, None] = {}  # host names, in the order in which they came

    def place(self, host: str) -> Place | None:
        """The place that a host name means here, None for a stray."""
        if host in self._places:
            return self._places[host]
        found = self._find(host)
        sender = self._sender(host)
        if self._is_held(sender):
            found = None  # it was put into quarantine when this was decoded before
            self._places[host] = None
        elif found is None:
            self._strays[host] = None
        self._places[host] = found
        return found

    def _is_held(self, sender: str) -> bool:
        """Whether this went into quarantine when it was decoded before. Others may have sent strays of the
        same name meanwhile, so that what is never one itself (a token stands for its asset, a relay for what
        it relays) is not looked up."""
        work, envelope = self._work, self._envelope
        if not envelope.client and work.is_held("", envelope.peer):
            return True
        if envelope.asset or (not envelope.client and envelope.transport in RELAYS):
            return False
        return work.is_held(self._client, sender)

    def route(self, hosts: pa.Array, count: int) -> tuple[npt.NDArray[np.int64] | None, U64, U64]:
        """For each row the client's and the asset's number; and the rows that have a place (None: all)."""
        if not count:
            empty = np.zeros(0, np.uint64)
            return None, empty, empty
        coded = hosts if isinstance(hosts, pa.DictionaryArray) else hosts.dictionary_encode()
        if coded.null_count:
            coded = coded.dictionary_decode().fill_null("").dictionary_encode()
        codes = coded.indices.to_numpy()
        used = np.unique(codes)
        names = coded.dictionary.take(pa.array(used)).to_pylist()
        found = [self.place(name or "") for name in names]
        client = np.zeros(len(coded.dictionary), np.uint64)
        asset = np.zeros(len(coded.dictionary), np.uint64)
        client[used] = [place.client_number if place else 0 for place in found]
        asset[used] = [place.asset_number if place else 0 for place in found]
        lost = np.zeros(len(coded.dictionary), bool)
        lost[used] = [place is None for place in found]
        rows = np.flatnonzero(~lost[codes]) if lost.any() else None
        return rows, client[codes], asset[codes]

    def place_of_outcome(self, told: PushedOutcome) -> Place | None:
        """An outcome names its asset, or a host."""
        if not told.asset:
            return self.place(told.host)
        client = self._envelope.client
        place = self._work.directory.place(told.asset, client=client) if client else self._peer
        if place is None:
            self._work.strangers.add(told.asset)
            self._work.reject(
                self._envelope.transport,
                told.outcome.target or self._envelope.peer,
                f"the asset {told.asset} is no asset of this client (any more): name one that is",
                self._envelope.received_at_ms,
                b"",
                client=client,
            )
        return place

    def tell_strays(self, pushed: Pushed) -> None:
        """Put what is about unknown hosts into frames of its own."""
        kept = list(self._strays)[:HOSTS_KEPT_MAX]
        for host in kept:
            self._tell(host, _about(pushed, {host}))
        rest = set(self._strays) - set(kept)
        if rest:
            counted = len(_about(pushed, rest))
            reason = f"more than {HOSTS_KEPT_MAX} unknown hosts in one body: this is counted, not kept"
            self._note(OTHERS, reason, counted, frame=b"", example=min(rest))

    def _tell(self, host: str, part: Pushed) -> None:
        why = self._why_not(host)
        for body in part_pushed(part, most=STRAY_FRAME_MAX_BYTES):
            held = decode_pushed(body)
            frame = encode_envelope(_again(self._envelope, body, client=self._client))
            self._note(self._sender(host), why, len(held), frame=frame, example=_example(held))

    def _note(self, sender: str, reason: str, count: int, *, frame: bytes, example: str) -> None:
        self._work.stray(
            self._envelope.transport,
            sender,
            reason,
            client=self._client,
            at_ms=self._envelope.received_at_ms,
            count=count,
            frame=frame,
            example=example,
        )

    def _find(self, host: str) -> Place | None:
        directory = self._work.directory
        if not self._envelope.client:
            if not host or not self._peer:
                return self._peer
            if self._envelope.transport in RELAYS:
                return directory.place_of_host(host, self._peer)
            return directory.place_of_known_host(host, client=self._client)
        if not host:
            return self._own or self._peer
        return directory.place_of_known_host(host, client=self._envelope.client) or self._own

    def _sender(self, host: str) -> str:
        """By what a person knows the stranger: the host that was named, else the address."""
        named = host.replace("\0", "").strip()[:SENDER_MAX_CHARS] if self._client else ""
        return named or self._envelope.peer

    def _why_not(self, host: str) -> str:
        if not self._client:
            return self._why
        if host:
            return f"no asset of this client is called {host}, or several are"
        return "nobody said which machine this is about: assign the sender, or bind its token to an asset"


def _again(envelope: Envelope, body: bytes, *, client: str) -> Envelope:
    return Envelope(
        kind="pushed",
        received_at_ms=envelope.received_at_ms,
        client=client,
        collector="",
        peer=envelope.peer,
        body=body,
        transport=envelope.transport,
        asset=envelope.asset,
    )


def _about(pushed: Pushed, hosts: set[str]) -> Pushed:
    """Only what names one of the hosts."""
    wanted = pa.array(sorted(hosts), pa.string())
    return Pushed(
        take_rows(pushed.logs, _rows_of(pushed.logs.host, wanted)),
        take_rows(pushed.samples, _rows_of(pushed.samples.host, wanted)),
        tuple(told for told in pushed.outcomes if not told.asset and told.host in hosts),
    )


def _rows_of(hosts: pa.Array, wanted: pa.Array) -> I64:
    plain = hosts.dictionary_decode() if isinstance(hosts, pa.DictionaryArray) else hosts
    plain = plain.fill_null("")
    found: I64 = np.flatnonzero(np.asarray(pa.compute.is_in(plain, value_set=wanted)))
    return found


def _example(pushed: Pushed) -> str:
    if len(pushed.logs):
        return pushed.logs.message[0].as_py() or pushed.logs.raw[0].as_py() or ""
    if len(pushed.samples):
        samples = pushed.samples
        return f"{samples.metric[0].as_py()} {samples.item[0].as_py()} {samples.value[0]}"
    outcome = pushed.outcomes[0].outcome
    return f"{outcome.kind} {outcome.target}: {outcome.reason}"


def _in_time(at_ms: I64, received_at_ms: int) -> I64:
    """A time in the future, or before 1970, is the time of receiving."""
    odd = (at_ms > received_at_ms + EARLY_MAX_MS) | (at_ms < 0)
    return np.where(odd, received_at_ms, at_ms).astype(np.int64) if odd.any() else at_ms


def _text(column: pa.Array, *, coded: bool) -> pa.Array:
    """Without nulls; as a plain array of strings unless it may be `coded` (a dictionary)."""
    if isinstance(column, pa.DictionaryArray) and (column.null_count or not coded):
        column = column.dictionary_decode()
    return column.fill_null("") if column.null_count else column
