"""Tables of economics as CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from django.utils import timezone

from forestall.agreements.money import written
from forestall.economics import queries
from forestall.economics.decide import pain, rule_proposal
from forestall.economics.reasons import say_share
from forestall.estate.tenancy import Scope


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as text; a cell that a spreadsheet would run as a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([_tame(one) for one in row])
    return text.getvalue()


def _clients_table(scope: Scope, since: str, until: str) -> list[list[Any]]:
    code = queries.currency(scope)
    rows: list[list[Any]] = [
        [
            "client",
            "currency",
            "fee",
            "set-up, projects, late fees",
            "work",
            "tools",
            "left",
            "margin",
            "hours",
            "effective hourly rate",
            "reactive hours per endpoint",
            "by the hour",
            "estimated hours not logged",
            "hours without a rate",
            "pain",
        ]
    ]
    for one in queries.client_lines(scope, since, until):
        s = one.sums
        rows.append(
            [
                one.name,
                code,
                *(
                    written(m, code)
                    for m in (s.recurring_minor, s.once_minor, s.work_minor, s.tools_minor, s.left_minor)
                ),
                say_share(s.margin),
                f"{s.seconds / 3600:.4f}",
                "" if s.rate_minor is None else written(s.rate_minor, code),
                "" if s.reactive_per_endpoint is None else f"{s.reactive_per_endpoint:.4f}",
                written(s.hourly_minor, code),
                f"{s.estimated_s / 3600:.4f}",
                f"{s.unrated_s / 3600:.4f}",
                pain(s),
            ]
        )
    return rows


def _rules_table(scope: Scope, since: str, until: str) -> list[list[Any]]:
    code = queries.currency(scope)
    rows: list[list[Any]] = [
        ["rule", "alerts", "told", "led to an action", "hours", "cost", "currency", "proposal"]
    ]
    rows += [
        [
            one.rule,
            one.alerts,
            one.told,
            one.acted,
            f"{one.seconds / 3600:.4f}",
            written(one.cost_minor, code),
            code,
            rule_proposal(one),
        ]
        for one in queries.rules_of(scope, since, until)
    ]
    return rows


def _ahead_table(scope: Scope, since: str, until: str) -> list[list[Any]]:
    rows: list[list[Any]] = [["client", "agreement", "notice by", "why"]]
    today = timezone.now().date()
    rows += [
        [row.client.name, row.number, risk.by, " ".join(risk.reasons)]
        for row, risk in queries.renewals_at_risk(scope, since, until, today=today)
    ]
    return rows


def _prevention_table(scope: Scope, since: str, until: str) -> list[list[Any]]:
    code = queries.currency(scope)
    rows: list[list[Any]] = [["client", "problem", "expected hours avoided in 90 days", "in money", "why"]]
    for one in queries.prevention(scope, since, until, now=timezone.now()):
        money = "" if one.avoided_minor is None else written(one.avoided_minor, code)
        rows.append(
            [
                one.work.problem.client.name,
                one.work.problem.title,
                f"{one.work.expected.total_seconds() / 3600:.4f}",
                money,
                one.work.why,
            ]
        )
    return rows


def _kinds_table(scope: Scope, since: str, until: str) -> list[list[Any]]:
    names = {one.client: one.name for one in queries.client_lines(scope, since, until)}
    code = queries.currency(scope)
    rows: list[list[Any]] = [["client", "kind", "device months", "hours", "cost", "currency"]]
    for client, kinds in queries.kinds_of(scope, since, until).items():
        rows += [
            [
                names.get(client, client),
                one.kind or "no asset",
                one.device_months,
                f"{one.seconds / 3600:.4f}",
                written(one.cost_minor, code),
                code,
            ]
            for one in kinds
        ]
    return rows


TABLES: dict[str, Callable[[Scope, str, str], list[list[Any]]]] = {
    "clients": _clients_table,
    "rules": _rules_table,
    "renewals": _ahead_table,
    "prevention": _prevention_table,
    "kinds": _kinds_table,
}


def _tame(cell: Any) -> Any:
    text = str(cell)
    if text[:1] in "=+@\t\r" or (text[:1] == "-" and not text[1:2].isdigit()):
        return "'" + text if text else text
    return cell
