"""Exported evidence, made and verified: for an outsider, without a server, a database or our word. Pure.

The file is JSON that anybody can read: the bundle, the journal entry that sealed it (its exact text), the
audit path from that entry to the root of the journal (RFC 6962), and a checkpoint (size and root) signed with
the installation's key. Every byte is bound: what is hashed is compared with its hash, what is explained is
made again and compared, and the file must be written exactly as we write it.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forestall.journal import merkle, seal

FORMAT = "forestall/evidence 1"
PROOF_FORMAT = "forestall/proof-of-backup 1"
SEALED = ("evidence.sealed", "backup.proof_sealed")  # kinds of journal entries
EXPORT_FORMAT = "forestall/evidence-export 1"
EXPORT_MAX_BYTES = 64 << 20
PARTS = frozenset({"about", "bundle", "checkpoint", "entry", "format", "proof", "public_key", "seq"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a file is what was sealed. `says` is one line a person reads; `fingerprint` of the key that
    signed; `known_key`: whether that is the key that the reader trusts (None: none was given)."""

    ok: bool
    says: str
    fingerprint: str = ""
    known_key: bool | None = None


class _Wrong(Exception):
    """What does not fit."""


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no spaces, ASCII alone: the bytes of which evidence is hashed."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def document(
    *,
    bundle: dict[str, Any],
    entry: str,
    seq: int,
    proof: Sequence[bytes],
    checkpoint: str,
    public_key: bytes,
) -> bytes:
    """The file for an outsider, as text."""
    parts = {
        "format": EXPORT_FORMAT,
        "bundle": bundle,
        "entry": entry,
        "seq": seq,
        "proof": [base64.b64encode(step).decode() for step in proof],
        "checkpoint": checkpoint,
        "public_key": base64.b64encode(public_key).decode(),
        "about": _about(bundle, public_key),
    }
    return _written(parts)


def verify(path: Path, *, trusted_key: bytes | None = None) -> Verdict:
    """Whether the file at `path` holds what was sealed. `trusted_key`: the provider's public key (32 bytes),
    when the reader has it from elsewhere. Raises OSError when the file cannot be read."""
    with path.open("rb") as file:
        return verify_document(file.read(EXPORT_MAX_BYTES + 1), trusted_key=trusted_key)


def verify_document(data: bytes, *, trusted_key: bytes | None = None) -> Verdict:
    """The same for the file's bytes."""
    try:
        parts = _read(data)
        public_key = _base64(parts["public_key"], "public key")
        digest = _check_entry(parts)
        state = _check_proof(parts, public_key)
        if parts["about"] != _about(parts["bundle"], public_key):
            raise _Wrong("the introduction was altered")
        if data != _written(parts):
            raise _Wrong("it is not written as it was exported: bytes were altered between the values")
    except _Wrong as wrong:
        return Verdict(ok=False, says=f"NOT as it was sealed: {wrong}.")
    shown = seal.fingerprint(public_key)
    known = None if trusted_key is None else trusted_key == public_key
    if known is False:
        return Verdict(
            ok=False, says=f"Signed with another key than the trusted one: {shown}.", fingerprint=shown,
            known_key=False,
        )  # fmt: skip
    then = "" if known else f" Compare the key with the provider's: {shown}."
    return Verdict(
        ok=True,
        says=(
            f"As it was sealed at {parts['bundle']['sealed_at']} (SHA-256 {digest}), entry {parts['seq']}"
            f" of a journal of {state.size} entries.{then}"
        ),
        fingerprint=shown,
        known_key=known,
    )


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > EXPORT_MAX_BYTES:
        raise _Wrong(f"it is larger than {EXPORT_MAX_BYTES} bytes")
    try:
        parts = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"it is not an exported bundle any more ({error})") from error
    if not isinstance(parts, dict) or parts.keys() != PARTS or parts["format"] != EXPORT_FORMAT:
        raise _Wrong("it does not have the parts of an exported bundle")
    texts = (parts["entry"], parts["checkpoint"], parts["public_key"], parts["about"])
    bundle = parts["bundle"]
    if not all(isinstance(text, str) for text in texts) or type(parts["seq"]) is not int:
        raise _Wrong("a part has another type than it had")
    if not isinstance(bundle, dict) or not isinstance(parts["proof"], list):
        raise _Wrong("a part has another type than it had")
    return parts


def _check_entry(parts: dict[str, Any]) -> str:
    """The bundle's hash, after it was compared with the one in the journal entry."""
    try:
        digest = hashlib.sha256(canonical(parts["bundle"])).hexdigest()
        entry = json.loads(parts["entry"])
        sealed = entry["body"]["sha256"]
        kind, seq = entry["kind"], entry["seq"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Wrong(f"the journal entry cannot be read ({error})") from error
    if kind not in SEALED or seq != parts["seq"]:
        raise _Wrong("the journal entry is not the one that sealed this bundle")
    if digest != sealed:
        raise _Wrong(f"the bundle's SHA-256 is {digest}, the journal says {sealed}")
    return digest


def _check_proof(parts: dict[str, Any], public_key: bytes) -> seal.SignedState:
    """What the checkpoint states, after the entry was found under its root."""
    try:
        state = seal.open_checkpoint(parts["checkpoint"], public_key)
        leaf = merkle.leaf_hash(parts["entry"].encode())
        path = [_base64(step, "proof") for step in parts["proof"]]
        root = merkle.root_from_inclusion(parts["seq"], state.size, leaf, path)
    except ValueError as error:
        raise _Wrong(str(error)) from error
    if root != state.root:
        raise _Wrong("the journal entry or the proof was altered: they do not lead to the signed root")
    return state


def _base64(text: object, what: str) -> bytes:
    try:
        if not isinstance(text, str):
            raise TypeError("it is not text")
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise _Wrong(f"the {what} is damaged ({error})") from error
    if len(data) != 32 or base64.b64encode(data).decode() != text:
        raise _Wrong(f"the {what} is damaged")
    return data


def _about(bundle: dict[str, Any], public_key: bytes) -> str:
    try:
        if bundle["format"] == PROOF_FORMAT:
            return _about_proof(bundle, public_key)
        finding, asset = bundle["finding"], bundle["asset"]
        return (
            f"Evidence of {finding['rule']} on {asset['name']} of {bundle['client']['name']}, sealed at"
            f" {bundle['sealed_at']} before anybody was told. Check it with: forestall evidence verify FILE."
            f" It was signed with the key {seal.fingerprint(public_key)}; compare it with the one that the"
            f" provider published."
        )
    except (KeyError, TypeError) as error:
        raise _Wrong(f"the bundle lacks {error}") from error


def _about_proof(bundle: dict[str, Any], public_key: bytes) -> str:
    plan, proof = bundle["plan"], bundle["proof"]
    outcome = "held" if proof["ok"] else "did not hold"
    return (
        f"A proof of the backup plan {plan['name']} on {bundle['asset']['name']} of"
        f" {bundle['client']['name']} ({proof['work']}, {outcome}), sealed at {bundle['sealed_at']}. Check it"
        f" with: forestall evidence verify FILE. It was signed with the key {seal.fingerprint(public_key)};"
        f" compare it with the one that the provider published."
    )


def _written(parts: dict[str, Any]) -> bytes:
    text = json.dumps(parts, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode()
