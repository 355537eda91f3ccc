"""Rates from counters: whatever a device counts, wraps and restarts, a rate is right or not told."""

from hypothesis import assume, given
from hypothesis import strategies as st

from forestall.collect.snmp.counters import TICKS_WRAP, Count, Uptime, next_uptime, rate_per_s

seconds = st.floats(1, 10_000, allow_nan=False)
counts_64 = st.integers(0, 2**64 - 1)


@given(start=st.integers(0, 2**63), grown=st.integers(0, 2**62), passed=seconds)
def test_a_64_bit_counter_gives_what_was_counted(start: int, grown: int, passed: float) -> None:
    now = Count(start + grown, 100 + passed)
    rate = rate_per_s(Count(start, 100.0), now, bits=64)
    assert rate == grown / (now.at_s - 100.0)


@given(start=st.integers(0, 2**32 - 1), grown=st.integers(0, 2**32 - 1), passed=seconds)
def test_a_32_bit_counter_may_wrap_once(start: int, grown: int, passed: float) -> None:
    now = Count((start + grown) % 2**32, 100 + passed)
    rate = rate_per_s(Count(start, 100.0), now, bits=32)
    assert rate == grown / (now.at_s - 100.0)


@given(start=st.integers(0, 2**32 - 1), now=st.integers(0, 2**32 - 1), passed=seconds)
def test_32_bits_that_may_have_wrapped_twice_give_no_rate(start: int, now: int, passed: float) -> None:
    fastest = 2**32 / passed * 1.01
    before, after = Count(start, 0.0), Count(now, passed)
    assert rate_per_s(before, after, bits=32, most_per_s=fastest) is None


@given(before=counts_64, now=counts_64, bits=st.sampled_from([32, 64]), passed=st.floats(-1e6, 1e6))
def test_a_rate_is_never_below_zero(before: int, now: int, bits: int, passed: float) -> None:
    rate = rate_per_s(Count(before, 0.0), Count(now, passed), bits=bits)
    assert rate is None or rate >= 0


@given(before=counts_64, now=counts_64, bits=st.sampled_from([32, 64]))
def test_there_is_no_rate_over_a_restart_or_at_first(before: int, now: int, bits: int) -> None:
    assert rate_per_s(None, Count(now, 9.0), bits=bits) is None
    assert rate_per_s(Count(before, 0.0, began=1), Count(now, 9.0, began=2), bits=bits) is None


def test_64_bits_that_fell_began_again() -> None:
    assert rate_per_s(Count(2**64 - 5, 0.0), Count(5, 60.0), bits=64) is None


@given(ticks=st.integers(0, TICKS_WRAP - 1), passed=st.integers(1, 30 * 86_400), drift=st.floats(-0.01, 0.01))
def test_a_device_that_ran_on_has_not_restarted(ticks: int, passed: int, drift: float) -> None:
    before = Uptime(ticks, 0.0)
    now = int(ticks + passed * 100 * (1 + drift))
    after, restarted = next_uptime(before, ticks=now % TICKS_WRAP, engine_s=0, at_s=float(passed))
    assert not restarted
    assert after.epoch == before.epoch
    assert abs(after.up_s - now / 100) < 1  # wraps are counted


@given(ticks=st.integers(20_000, TICKS_WRAP - 1), passed=st.integers(120, 30 * 86_400), data=st.data())
def test_a_device_that_restarted_in_between_is_seen(ticks: int, passed: int, data: st.DataObject) -> None:
    up = data.draw(st.integers(0, passed * 100))
    expected = ticks + passed * 100
    slack = (60 + 0.05 * passed) * 100
    assume(min(abs(expected - up - wraps * TICKS_WRAP) for wraps in range(3)) > slack)
    after, restarted = next_uptime(Uptime(ticks, 0.0, epoch=4), ticks=up, engine_s=0, at_s=float(passed))
    assert restarted
    assert (after.epoch, after.wraps, after.up_s) == (5, 0, up / 100)


def test_an_engine_that_began_again_is_no_wrap() -> None:
    before = Uptime(TICKS_WRAP - 3_000, 0.0, engine_s=42_949_642)
    assert next_uptime(before, ticks=3_000, engine_s=42_949_702, at_s=60.0)[1] is False
    assert next_uptime(before, ticks=3_000, engine_s=30, at_s=60.0)[1] is True


def test_after_a_wrap_that_nobody_saw_the_engine_knows_the_uptime() -> None:
    first, _ = next_uptime(None, ticks=6_000, engine_s=42_949_732, at_s=0.0)
    assert first.up_s == 42_949_732


def test_a_machine_that_was_suspended_has_not_restarted() -> None:
    before = Uptime(100 * 86_400, 0.0)
    assert next_uptime(before, ticks=100 * 86_400 + 1_000, engine_s=0, at_s=7_200.0)[1] is False
