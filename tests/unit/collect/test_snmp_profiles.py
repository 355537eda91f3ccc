"""Profiles: all that come with the product are sound, a mistake is named with its line, and values become
metrics as a profile says."""

import pytest

from forestall.collect.probes.snmp import SPEC
from forestall.collect.snmp import ber
from forestall.collect.snmp.profile import (
    Group,
    ProfileMistake,
    choose_profiles,
    find_profile,
    profile_names,
    read_profile,
)
from forestall.collect.snmp.reading import Remembered, Told, items_of, number_of, read_group
from forestall.collect.snmp.session import Column
from forestall.judge.metrics import METRICS
from forestall.kernel.errors import Trouble

HEAD = "title: A device\nsource: SOME-MIB\n"
GROUP = """groups:
  - name: sensor
    columns: {name: 1.3.6.1.4.1.1.1, value: 1.3.6.1.4.1.1.2}
    item: ["{name}"]
    values:
      - {metric: device.temperature_celsius, take: value}
"""


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_of_the_product_is_sound(name: str) -> None:
    profile = find_profile(name)
    assert profile.groups
    for group in profile.groups:
        for number in group.values:
            assert number.metric in METRICS, number.metric


def test_what_the_probe_says_it_produces_is_known() -> None:
    assert set(SPEC.produces) <= METRICS.keys()


@pytest.mark.parametrize(
    ("object_id", "name"),
    [
        ("1.3.6.1.4.1.9.1.1208", "cisco"),
        ("1.3.6.1.4.1.318.1.3.27", "apc"),
        ("1.3.6.1.4.1.2636.1.1.1.2.144", "juniper"),
        ("1.3.6.1.4.1.11.2.3.7.11.160", "procurve"),
        ("1.3.6.1.4.1.11.2.3.9.1", "printer"),
        ("1.3.6.1.4.1.8072.3.2.10", "net-snmp"),
        ("1.3.6.1.4.1.8072.3.2.8", "pfsense"),
        ("1.3.6.1.4.1.90210", "generic"),
        ("", "generic"),
    ],
)
def test_a_device_gets_its_profile(object_id: str, name: str) -> None:
    assert choose_profiles(object_id)[-1].name == name


def test_what_looks_like_any_linux_is_asked_what_it_is() -> None:
    assert [one.name for one in choose_profiles("1.3.6.1.4.1.8072.3.2.10")] == [
        "qnap",
        "synology",
        "net-snmp",
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (HEAD + GROUP.replace("take: value", "take: vlaue"), 8, "there is no column 'vlaue'"),
        (HEAD + GROUP.replace("{name}", "{nmae}"), 6, "there is no column 'nmae'"),
        (HEAD + GROUP.replace("1.3.6.1.4.1.1.2", "enterprises.1.2"), 5, "columns"),
        (HEAD + GROUP.replace("take: value", "take: value, scal: 2"), 8, "unknown field `scal`"),
        (HEAD + "inherits: [cisko]\n" + GROUP, 3, "there is no other profile 'cisko'"),
        (HEAD + GROUP + GROUP.removeprefix("groups:\n"), 4, "two groups are called 'sensor'"),
        (HEAD + "facts: {model: {oids: [1.3.6.1.4.1.1], pattern: '(['}}\n", 3, "no regular expression"),
        (HEAD + "facts: {model: {}}\n", 3, "it needs `says` or `oids`"),
        ("title: [\n", 2, "not YAML"),
        ("- a\n", 1, "Expected `object`"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(ProfileMistake) as raised:
        read_profile("mine", text)
    assert says in str(raised.value)
    assert str(raised.value).startswith(f"mine.yaml:{line}:")
    assert raised.value.remedy


def test_a_profile_that_is_not_there_is_said() -> None:
    with pytest.raises(Trouble, match="there is no profile 'cisko'"):
        find_profile("cisko")


def group_of(text: str) -> Group:
    return read_profile("mine", HEAD + "groups:\n" + text).groups[0]


def told_by(group: Group, **columns: Column) -> tuple[dict[tuple[str, str], float], Told]:
    told = Told()
    read_group(group, columns, before=Remembered(), after=Remembered(), at_s=1.0, epoch=0, told=told)
    return {(one.metric, one.item): one.value for one in told.numbers}, told


def test_a_sensor_has_its_scale_and_its_digits() -> None:
    sensor = next(one for one in find_profile("entity").groups if one.name == "sensor")
    told, _ = told_by(
        sensor,
        name={"1": b"inlet", "2": b"outlet", "3": b"broken"},
        type={"1": 8, "2": 8, "3": 8},
        scale={"1": 9, "2": 8, "3": 9},
        digits={"1": 1, "2": 0, "3": 0},
        value={"1": 235, "2": 41_500, "3": 999_999_999},
        status={"1": 1, "2": 1, "3": 3},
    )
    assert told["device.temperature_celsius", "inlet"] == pytest.approx(23.5)
    assert told["device.temperature_celsius", "outlet"] == pytest.approx(41.5)
    assert ("device.temperature_celsius", "broken") not in told
    assert told["device.sensor_failed", "broken"] == 1


def test_shares_have_a_whole() -> None:
    group = group_of("""  - name: memory
    columns: {used: 1.3.6.1.4.1.1.1, free: 1.3.6.1.4.1.1.2}
    item: ["{index}"]
    values:
      - {metric: device.memory_used_ratio, take: used, per: [used, free], least: 0, most: 1}
""")
    told, _ = told_by(group, used={"1": 30, "2": 0, "3": 5}, free={"1": 70, "2": 0})
    assert told == {("device.memory_used_ratio", "1"): 0.3}  # of nothing there is no share


def test_a_state_that_is_not_known_is_told_as_odd() -> None:
    fans = next(one for one in find_profile("cisco").groups if one.name == "environment_fan")
    told, what = told_by(fans, descr={"1": b"fan 1", "2": b"fan 2"}, state={"1": 3, "2": 77})
    assert told == {("device.fan_failed", "fan 1"): 1}
    assert what.states == ["fan 1: critical"]
    assert what.odd == {"device.fan_failed": "'state 77' (fan 2)"}


def test_two_rows_of_one_name_stay_two() -> None:
    group = group_of(GROUP.removeprefix("groups:\n"))
    items = items_of(group, {"name": {"1": b"fan", "2": b"fan"}, "value": {"1": 1, "2": 2}})
    assert items == {"1": "fan", "2": "fan #2"}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5), (b"45 C/113 F", 45), (b" -3.5", -3.5), (b"", None), (None, None), (1.5, 1.5),
        (b"\x9fx\x04\x3f\x80\x00\x00", 1.0),
    ],
)  # fmt: skip
def test_numbers_are_read_out_of_texts(value: bytes | int | float | None, number: float | None) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize("value", [b"warm", b"n/a", "1.3.6.1", float("inf")])
def test_what_is_no_number_is_refused(value: bytes | str | float) -> None:
    with pytest.raises(ValueError):
        number_of(value)


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x05ab", b"\x30\x85\x01\x01\x01\x01\x01"])
def test_a_message_that_is_cut_short_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="the message"):
        ber.decode(data)


@pytest.mark.parametrize("oid", ["1.3.6.1.2.1.1.3.0", "2.999.3", "1.3.6.1.4.1.4294967295.1", "0.0"])
def test_an_oid_survives_its_encoding(oid: str) -> None:
    assert ber.decode_oid(ber.decode(ber.encode_oid(oid))) == oid
