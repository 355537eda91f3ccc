"""A real snmpd: our walk says what net-snmp's says, by v2c and v3; and why an agent does not answer."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestall.collect.asking import ask_once
from forestall.collect.reach import anywhere
from forestall.collect.snmp.reading import number_of
from forestall.collect.snmp.session import ROWS_MAX, Column, Session, Way
from forestall.kernel.observations import Outcome
from snmp_agents import Tree, answering, free_port, snmpd, snmpsim

V3 = {
    "user": "sha256", "auth_protocol": "SHA256", "auth_passphrase": "auth-pass-1",
    "privacy_protocol": "AES128", "privacy_passphrase": "priv-pass-1",
}  # fmt: skip
V3_SHA1 = V3 | {"user": "sha1", "auth_protocol": "SHA"}
V2C = {"community": "public"}
SECURE = ["-l", "authPriv", "-A", "auth-pass-1", "-X", "priv-pass-1", "-x", "AES"]
# net-snmp's word for a type → what gufo-snmp makes of it
TYPES: dict[str, type] = {
    "INTEGER": int, "Counter32": int, "Gauge32": int, "Timeticks": int, "Counter64": int, "UInteger32": int,
    "STRING": bytes, "Hex-STRING": bytes, "BITS": bytes, "OID": str, "IpAddress": str, "Opaque": bytes,
    "Network": bytes,
}  # fmt: skip
# What runs changes with every command that is run (hrSWRun, hrSWRunPerf, network state of sockets).
ROUNDS = 3
RESTLESS = ("1.3.6.1.2.1.25.4.", "1.3.6.1.2.1.25.5.", "1.3.6.1.2.1.6.", "1.3.6.1.2.1.7.")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with snmpd(tmp_path_factory.mktemp("snmpd")) as found:
        yield found


def net_snmp(port: int, options: list[str]) -> dict[str, tuple[str, str]]:
    """OID → type and value, as net-snmp's own walk prints them, without any MIB."""
    command = ["snmpbulkwalk", "-m", "", "-On", "-Ox", "-OU", *options, f"127.0.0.1:{port}", "1.3.6.1"]
    output = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for line in output.splitlines():
        oid, equals, rest = line.partition(" = ")
        if rest.startswith("No more variables left"):
            break
        if equals and oid.startswith(".1."):
            last = oid[1:]
            kind, colon, value = rest.partition(": ")
            found[last] = (kind, value) if colon else ("Hex-STRING", "")
        elif last in found:  # bytes go on in the next line
            found[last] = (found[last][0], f"{found[last][1]} {line}")
    return found


def as_printed(value: object, kind: str) -> str:
    """A value of ours as net-snmp prints it."""
    if kind == "Opaque" and isinstance(value, bytes):
        return f"Float: {number_of(value):.6f}"
    return value.hex(" ").upper() if isinstance(value, bytes) else str(value)


def told_by_net_snmp(kind: str, value: str) -> str:
    if kind == "Timeticks":
        return value[1 : value.index(")")]
    if kind in ("STRING", "Hex-STRING", "BITS"):
        return " ".join(value.strip('"').split())
    return value.strip().removeprefix(".") if kind == "OID" else value.strip()


async def walk(way: Way) -> Column:
    session = Session(way)
    await session.open()
    try:
        return await session.walk("1.3.6.1")
    finally:
        session.close()


@pytest.mark.parametrize(
    ("version", "credential", "options"),
    [
        (2, V2C, ["-v2c", "-c", "public"]),
        (3, V3, ["-v3", "-u", "sha256", "-a", "SHA-256", *SECURE]),
        (3, V3_SHA1, ["-v3", "-u", "sha1", "-a", "SHA", *SECURE]),
    ],
    ids=["v2c", "v3 SHA-256 AES", "v3 SHA AES"],
)
async def test_the_whole_tree_is_what_net_snmp_walks(
    port: int, version: int, credential: dict[str, str], options: list[str]
) -> None:
    way = Way("127.0.0.1", port, version, credential)
    wrong: dict[str, str] = {}
    for turn in range(ROUNDS):  # what moves to and fro while it is walked is not wrong in every round
        before, theirs, after = await walk(way), net_snmp(port, options), await walk(way)
        found = differences(before, theirs, after)
        wrong = found if not turn else {oid: found[oid] for oid in wrong if oid in found}
        if not wrong:
            break
    assert not wrong


RECORDINGS = Path(__file__).parents[1] / "recordings" / "snmp"


@pytest.fixture(scope="module")
def simulated() -> Iterator[int]:
    with snmpsim(RECORDINGS, by_v3="router") as found:
        yield found


@pytest.mark.parametrize("name", sorted(one.stem for one in RECORDINGS.glob("*.snmprec")))
async def test_what_snmpsim_plays_is_what_net_snmp_walks(simulated: int, name: str) -> None:
    way = Way("127.0.0.1", simulated, 2, {"community": name})
    before, theirs, after = await walk(way), net_snmp(simulated, ["-v2c", "-c", name]), await walk(way)
    assert not differences(before, theirs, after, least=10)
    assert len(before) == len(theirs)


async def test_what_snmpsim_plays_by_v3_is_what_net_snmp_walks(simulated: int) -> None:
    way, options = Way("127.0.0.1", simulated, 3, V3), ["-v3", "-u", "sha256", "-a", "SHA-256", *SECURE]
    before, theirs, after = await walk(way), net_snmp(simulated, options), await walk(way)
    assert not differences(before, theirs, after, least=10)
    assert len(before) == len(theirs) == len((RECORDINGS / "router.snmprec").read_text().splitlines())


def differences(
    before: Column, theirs: dict[str, tuple[str, str]], after: Column, *, least: int = 500
) -> dict[str, str]:
    """Where our walks agree with each other and not with net-snmp's."""
    ours = {f"1.3.6.1.{oid}" for oid in before.keys() | after.keys()}
    found = {oid: "not walked" for oid in theirs.keys() - ours if not oid.startswith(RESTLESS)}
    still = {f"1.3.6.1.{oid}": value for oid, value in before.items() if after.get(oid) == value}
    still = {oid: value for oid, value in still.items() if not oid.startswith(RESTLESS)}
    assert len(still) > least
    for oid, value in still.items():
        kind, printed = theirs.get(oid, ("", ""))
        told = told_by_net_snmp(kind, printed) if kind else "nothing"
        if not isinstance(value, TYPES.get(kind, type(None))) or as_printed(value, kind) != told:
            found[oid] = f"{value!r}, but {kind} {told}"
    return found


async def ask(port: int, credential: dict[str, str], **settings: str) -> Outcome:
    return await ask_once(
        "snmp", f"127.0.0.1:{port}", settings, anywhere(), credential=credential, timeout_s=3
    )


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (V3 | {"user": "nobody"}, "knows no user 'nobody'"),
        (V3 | {"auth_passphrase": "another-one"}, "the passphrase of authentication is wrong"),
        (V3 | {"auth_protocol": "SHA512"}, "another one than SHA512"),
        (V3 | {"privacy_passphrase": "another-one"}, "the passphrase of privacy is wrong"),
        ({"user": "sha256"}, "wants the user 'sha256' to authenticate"),
        ({k: v for k, v in V3.items() if "privacy" not in k}, "wants privacy as well"),
        ({"community": "strangers"}, "answers SNMP v3, but not v2c with this community"),
    ],
    ids=lambda one: str(one)[:40] if isinstance(one, str) else "",
)
async def test_a_wrong_credential_is_named(port: int, credential: dict[str, str], reason: str) -> None:
    outcome = await ask(port, credential)
    assert not outcome.ok
    assert reason in outcome.reason
    assert "another-one" not in outcome.reason + outcome.answer


@pytest.mark.parametrize("version", ["by credential", "1"])
async def test_a_machine_is_polled_by_v2c_and_v1(port: int, version: str) -> None:
    first = await ask(port, V2C, version=version)
    assert first.ok, first.reason
    told = {(one.metric, one.item): one.value for one in first.samples}
    assert 0 < told["device.memory_used_ratio", f"snmp 127.0.0.1:{port}"] < 1
    [snapshot] = first.snapshots
    assert snapshot.kind == "snmp.inventory"
    assert "location: Rack 4, second floor" in snapshot.text


async def test_where_nothing_listens_it_says_so() -> None:
    outcome = await ask(free_port(), V2C)
    assert "nothing listens at" in outcome.reason


async def test_an_agent_that_answers_from_another_address_is_named() -> None:
    with answering(Tree({"1.3.6.1.2.1.1.3.0": ("ticks", 5)}).answer, from_other=True) as port:
        outcome = await ask(port, V2C)
    assert "but 127.0.0.2:" in outcome.reason and "answered" in outcome.reason


async def test_silence_says_what_may_be_wrong() -> None:
    with answering(lambda data: None) as port:
        outcome = await ask(port, V2C)
    assert "is silent: the community is wrong" in outcome.reason


async def test_nonsense_is_told() -> None:
    with answering(lambda data: b"\x30\x03abc") as port:
        outcome = await ask(port, V2C)
    assert "no SNMP" in outcome.reason


async def test_what_is_asked_without_a_credential_is_refused() -> None:
    outcome = await ask(161, {})
    assert "needs a credential" in outcome.reason


class Circling(Tree):
    """Begins its table again and again."""

    def _after(self, oid: str) -> int:
        return 0


TABLE = "1.3.6.1.2.1.31.1.1.1.1"


async def column_of(answer: Tree) -> tuple[Column, list[str]]:
    with answering(answer.answer) as port:
        session = Session(Way("127.0.0.1", port, 2, V2C))
        await session.open()
        found = await session.columns([TABLE])
        session.close()
    return found[TABLE], session.odd


async def test_a_table_that_leads_in_circles_is_cut_and_told() -> None:
    column, odd = await column_of(Circling({f"{TABLE}.{n}": ("octets", f"eth{n}") for n in range(1, 6)}))
    assert len(column) == 5
    assert "leads in circles after 5 rows" in odd[0]


async def test_a_table_without_an_end_is_cut_and_told() -> None:
    column, odd = await column_of(
        Tree({f"{TABLE}.{n}": ("octets", f"eth{n}") for n in range(1, ROWS_MAX + 500)})
    )
    assert ROWS_MAX <= len(column) < ROWS_MAX + 100
    assert f"more than {ROWS_MAX} rows" in odd[0]


async def test_a_lost_datagram_is_asked_again() -> None:
    tree, heard = Tree({f"{TABLE}.{n}": ("octets", f"eth{n}") for n in range(1, 60)}), [0]

    def forgetful(data: bytes) -> bytes | None:
        heard[0] += 1
        return None if heard[0] == 2 else tree.answer(data)

    with answering(forgetful) as port:
        session = Session(Way("127.0.0.1", port, 2, V2C), try_s=0.3)
        await session.open()
        found = await session.columns([TABLE])
        session.close()
    assert len(found[TABLE]) == 59
