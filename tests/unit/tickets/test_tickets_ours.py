"""Which changes and restarts one of us accounts for, and how the rest is said."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from forestall.tickets.ours import Happened, Ours, Span, decide_account, login_of, say_before

AT = datetime(2026, 11, 23, 8, 52, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def happened(**given: object) -> Happened:
    usual = {
        "id": "1", "asset": "A", "name": "till", "kind": "sshd_config", "title": "sshd_config",
        "after_at": AT - MINUTE, "at": AT, "who": ("anna from 10.0.0.7 since 2026-11-23 08:50",),
    }  # fmt: skip
    return Happened(**(usual | given))  # type: ignore[arg-type]


def span(begin: int, end: int, *, asset: str = "") -> Span:
    return Span(AT + begin * MINUTE, AT + end * MINUTE, "Mia was working on ticket #7", asset)


@pytest.mark.parametrize(
    ("ours", "account"),
    [
        (Ours(), ""),
        (Ours(logins=frozenset({"anna"})), "anna was signed in, who is ours"),
        (Ours(logins=frozenset({"mia"})), ""),
        (Ours(windows=[span(-60, 60)]), "in the maintenance window Mia was working on ticket #7"),
        (Ours(windows=[span(1, 60)]), ""),  # it began after the change
        (Ours(windows=[span(-60, -2)]), ""),  # it was over
        (Ours(work=[span(-60, -10)]), "Mia was working on ticket #7"),  # the timer stopped a little before
        (Ours(work=[span(-60, -20)]), ""),
        (Ours(work=[span(-5, 5, asset="A")]), "Mia was working on ticket #7"),
        (Ours(work=[span(-5, 5, asset="B")]), ""),  # on another machine
    ],
)
def test_who_accounts_for_a_change(ours: Ours, account: str) -> None:
    assert decide_account(happened(), ours) == account


def test_nobody_signed_in_is_nobody_of_ours() -> None:
    assert decide_account(happened(who=()), Ours(logins=frozenset({"anna"}))) == ""


def test_updates_that_come_by_themselves_are_no_self_repair() -> None:
    assert "by itself" in decide_account(happened(kind="packages", who=()), Ours())
    assert decide_account(happened(kind="packages"), Ours()) == ""
    assert decide_account(happened(kind="started", who=()), Ours()) == ""


@pytest.mark.parametrize(
    ("said", "login"),
    [
        ("anna from 10.0.0.7 since 2026-11-23 08:50", "anna"),
        ("BAKERY\\Anna on console", "anna"),
        ("anna@bakery.example", "anna"),
        ("", ""),
    ],
)
def test_the_account_of_who_is_signed_in(said: str, login: str) -> None:
    assert login_of(said) == login


def test_it_is_said_as_one_sentence_in_the_clients_time() -> None:
    restart = happened(id="2", kind="started", title="Start", at=AT + 3 * MINUTE, who=())
    zone = timezone(timedelta(hours=1))
    assert say_before([restart, happened()], zone) == (
        "Before this ticket: sshd_config changed at 09:52 by anna (signed in), "
        "the machine restarted at 09:55; nobody of ours was working on it."
    )
    assert say_before([], zone) == ""
    assert say_before([happened(), restart], UTC, many=True) == (
        "Before this ticket: sshd_config on till changed at 08:52 by anna (signed in), "
        "till restarted at 08:55; nobody of ours was working on it."
    )
    many = [happened(id=str(n), at=AT + n * MINUTE, who=("a", "b", "c", "d")) for n in range(8)]
    assert (
        "Before this ticket: 3 more, then sshd_config changed at 08:55 by a, b, c and 1 more"
        in say_before(many, UTC)
    )
