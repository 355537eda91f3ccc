"""The log's arithmetic against the definition in RFC 6962, and every forgery that a flipped bit makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.journal import merkle
from forestall.journal.seal import SignedState, Signer, open_checkpoint


def by_definition(leaves: list[bytes]) -> bytes:
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return merkle.leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


class Tree:
    def __init__(self, leaves: list[bytes]) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        for seq, body in enumerate(leaves):
            leaf = self.nodes[0, seq] = merkle.leaf_hash(body)
            for level, index, digest in merkle.completed_by(seq, leaf, self.fetch):
                self.nodes[level, index] = digest

    def fetch(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


bodies = st.integers(1, 70).map(lambda count: [b"entry %d" % number for number in range(count)])


@given(bodies)
def test_root_is_the_definition(leaves: list[bytes]) -> None:
    assert merkle.root_hash(len(leaves), Tree(leaves).fetch) == by_definition(leaves)


@given(bodies, st.data())
def test_inclusion_leads_to_the_root_and_a_flipped_bit_does_not(
    leaves: list[bytes], data: st.DataObject
) -> None:
    tree, size = Tree(leaves), len(leaves)
    seq = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof(seq, size, tree.fetch)
    root = merkle.root_hash(size, tree.fetch)
    assert merkle.root_from_inclusion(seq, size, merkle.leaf_hash(leaves[seq]), path) == root
    assert merkle.root_from_inclusion(seq, size, merkle.leaf_hash(leaves[seq] + b"!"), path) != root
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert merkle.root_from_inclusion(seq, size, merkle.leaf_hash(leaves[seq]), path) != root
        with pytest.raises(ValueError, match="too short"):
            merkle.root_from_inclusion(seq, size, merkle.leaf_hash(leaves[seq]), path[:-1])


@given(bodies, st.data())
def test_consistency_of_any_two_sizes(leaves: list[bytes], data: st.DataObject) -> None:
    tree, new = Tree(leaves), len(leaves)
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(old, new, tree.fetch)
    old_root, new_root = merkle.root_hash(old, tree.fetch), merkle.root_hash(new, tree.fetch)
    assert merkle.is_consistent(old, old_root, new, new_root, proof)
    assert not merkle.is_consistent(old, merkle.leaf_hash(b"other"), new, new_root, proof)


def test_checkpoint_round_trip_and_every_flipped_character() -> None:
    signer = Signer(b"\x07" * 32)
    state = SignedState(12, merkle.leaf_hash(b"root"))
    note = signer.sign(state)
    assert open_checkpoint(note, signer.public_key) == state
    for at, letter in enumerate(note):
        wrong = note[:at] + ("A" if letter != "A" else "B") + note[at + 1 :]
        with pytest.raises(ValueError):
            open_checkpoint(wrong, signer.public_key)
    with pytest.raises(ValueError, match="another key"):
        open_checkpoint(note, Signer(b"\x08" * 32).public_key)
