"""SNMPv3 notifications as net-snmp sent them: read, refused, and harmless whatever is changed in them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.collect.parsers.snmp_trap import NotTrap, authority_of, version_of
from forestall.collect.receiving import snmp_v3
from forestall.collect.receiving.snmp_v3 import Engine, User, read_users
from forestall.kernel.errors import Trouble

AUTH, PRIVACY = "authentication passphrase", "privacy passphrase"
USERS = [
    User("both", "sha256", AUTH, "aes128", PRIVACY),
    User("signed", "sha", AUTH),
    User("open"),
    User("old", "md5", AUTH, "des", PRIVACY),
]
MESSAGES = {
    "both": bytes.fromhex(
        "3081d602010330110204766b56fa020300ffe3040103020103043e303c0408800000000102030402010102031a999d0404626f7468"
        "04183d15270aa64a90c3230f5280c5448c641afda8364efe820c0408c25dc94dab580d4d047eb2f4ecdb4ea5003c531f2638571302"
        "8be261365e94ed24e0f878680eda79b5c733e34832e088d14cc6bf0688e8159aa7104dce4215ea20edb901934fee374ca2c9a7aa88"
        "349673652f66e6226f05465c679043246d3a2c2165a72d2f237bb2f0b19a4045b565eaccca4067ffef16d3c74af7102347ca43a248"
        "1ad6ae08e6"
    ),
    "signed": bytes.fromhex(
        "3081c202010330110204707adc97020300ffe3040101020103042c302a0408800000000102030402010102031a99fb04067369676e"
        "6564040c55314a81d1b26745dadf21d40400307c041180001f88806366e73921d0036b000000000400a76502041482682e02010002"
        "01003057300e06082b06010201010300430210683017060a2b06010603010104010006092b0601060301010503300f060a2b060102"
        "010202010107020107301b060a2b060102010202010207040d657468373a206772c3b6c39f65"
    ),
    "open": bytes.fromhex(
        "3081b4020103301102040aa4a2e0020300ffe3040100020103041e301c0408800000000102030402010102031a9a0404046f70656e"
        "04000400307c041180001f88808af7ab4321d0036b000000000400a7650204547f21c20201000201003057300e06082b0601020101"
        "0300430210683017060a2b06010603010104010006092b0601060301010503300f060a2b060102010202010107020107301b060a2b"
        "060102010202010207040d657468373a206772c3b6c39f65"
    ),
    "old": bytes.fromhex(
        "3081cc0201033011020407c357e1020300ffe30401030201030431302f0408800000000102030402010102031a9a0c04036f6c6404"
        "0c115924f9063dce3ba93ed7420408000000013c388ff30481806d719c9fe58cb03aca5b40a3c616177284347c4019fc559e9c4d66"
        "ec86c7dc495576fea23f9ccab59f9b3999167071aaa6cbba1e4f627d1eed85ebd05b97c039ed42d057e51e63e488fc8f0847afd8ff"
        "fbeb2eea9c590714ae88e998705f2f82e94143e3604adc39313cdaa4ecf6db080e3cac9d371f7d14e88039c85797b3d5"
    ),
}
PEER = ("10.0.0.5", 40_000)
ENGINE = Engine(USERS)


@pytest.mark.parametrize("name", MESSAGES)
def test_each_level_of_security(name: str) -> None:
    data = MESSAGES[name]
    assert version_of(data) == 3
    assert authority_of(data) == (bytes.fromhex("8000000001020304"), name.encode())
    said = Engine(USERS).read(data, PEER)
    assert said.trap is not None and said.pending is None
    assert (said.trap.user, said.trap.version, said.trap.oid) == (name, "v3", "1.3.6.1.6.3.1.1.5.3")
    assert said.trap.line(at_ms=1).message == "linkDown ifIndex.7=7 ifDescr.7=eth7: größe"


def test_another_passphrase_and_less_security_are_refused() -> None:
    other = Engine(
        [User("both", "sha256", "another passphrase", "aes128", PRIVACY), User("open", "sha", AUTH)]
    )
    for name in ("both", "open", "signed"):
        with pytest.raises(NotTrap):
            other.read(MESSAGES[name], PEER)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(MESSAGES)),
    st.lists(st.tuples(st.integers(0, 180), st.integers(0, 255)), min_size=1),
)
def test_changed_messages_are_refused_or_read(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(MESSAGES[name])
    for at, byte in changes:
        data[at % len(data)] = byte
    try:
        if version_of(bytes(data)) == 3:
            said = ENGINE.read(bytes(data), PEER)
            if said.trap:
                said.trap.line(at_ms=1)
    except NotTrap as error:
        assert AUTH not in str(error)


def test_an_engine_is_renewed_and_goes_on() -> None:
    engine = Engine(USERS)
    for _ in range(3):
        engine._left = 0  # as after MESSAGES_MAX messages
        assert engine.read(MESSAGES["both"], PEER).trap is not None
    assert snmp_v3.MESSAGES_MAX > 0


def test_users_are_read_from_lines_and_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(AUTH + "\n")
    (tmp_path / "p").write_text(PRIVACY)
    lines = [f"both SHA256 {tmp_path / 'a'} aes128 {tmp_path / 'p'}", f"signed sha {tmp_path / 'a'}", "open"]
    assert read_users(lines) == USERS[:3]
    assert [user.level for user in USERS[:3]] == [3, 2, 1]
    with pytest.raises(Trouble, match="line 2"):
        read_users(["open", "x sha1000 /file"])
