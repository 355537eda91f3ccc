"""Performance data as the Monitoring Plugins guidelines write it, and as plugins really write it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.perfdata import NUMBERS_MAX, Performance, read_perfdata, split_output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time=0.5s;1;2;0;10", [Performance("time", 0.5, "s")]),
        ("time=12ms", [Performance("time", 0.012, "s")]),
        ("/=2643MB;5948;5958;0;5968", [Performance("/", 2643 * (1 << 20), "bytes")]),
        ("'C:\\ used %'=25%;80;90", [Performance("C:\\ used %", 0.25, "ratio")]),
        ("'it''s'=3c", [Performance("it's", 3, "")]),
        (
            "a=1 b=2;;;; c=-3.5e2",
            [Performance("a", 1, ""), Performance("b", 2, ""), Performance("c", -350, "")],
        ),
        ("load1=0,45;5,0;10,0", [Performance("load1", 0.45, "")]),
        ("temp=21C rta=0.2ms;;", [Performance("temp", 21, ""), Performance("rta", 0.0002, "s")]),
        ("unknown=U next=4", [Performance("next", 4, "")]),
        ("nonsense =5 =7 x= y=abc z=1", [Performance("z", 1, "")]),
        ("'unclosed=1", [Performance("unclosed", 1, "")]),
        ("a=1 a=2", [Performance("a", 1, "")]),
        ("range=5;10:20;@1:2;0;100", [Performance("range", 5, "")]),
        ("", []),
    ],
)
def test_numbers(text: str, expected: list[Performance]) -> None:
    found = read_perfdata(text)
    assert [(n.label, n.unit) for n in found] == [(n.label, n.unit) for n in expected]
    assert [n.value for n in found] == pytest.approx([n.value for n in expected])


def test_metrics_have_their_unit_last() -> None:
    assert Performance("time", 1, "s").metric == "nagios.time_s"
    assert Performance("/home", 1, "bytes").metric == "nagios./home_bytes"
    assert Performance("free bytes", 1, "bytes").metric == "nagios.free_bytes"
    assert Performance("users", 1, "").metric == "nagios.users"


def test_output_of_many_lines() -> None:
    output = "DISK OK | /=1MB\n/ fine\n/boot fine | /boot=2MB\n/home=3MB\n"
    first, long, perfdata = split_output(output)
    assert (first, long) == ("DISK OK", "/ fine\n/boot fine")
    assert [number.label for number in read_perfdata(perfdata)] == ["/", "/boot", "/home"]


@given(st.text(alphabet=st.sampled_from("ab'=;.,0123456789sm%KMGTB \n|U-+eE"), max_size=300))
def test_anything_is_read_without_a_mistake(text: str) -> None:
    for number in read_perfdata(split_output(text)[2]):
        assert number.label and math.isfinite(number.value)


@given(
    st.text(min_size=1, max_size=40).filter(lambda t: "'" not in t and t.strip() == t), st.integers(-9, 10**6)
)
def test_what_is_written_is_read(label: str, value: int) -> None:
    assert read_perfdata(f"'{label}'={value};1;2") == [Performance(label, value, "")]


def test_there_is_an_end() -> None:
    assert len(read_perfdata(" ".join(f"n{i}=1" for i in range(5000)))) == NUMBERS_MAX
    assert read_perfdata("'" * 16_000) == [] and read_perfdata("x" * 16_000) == []
