"""The API's charts and log search over the real store: forms, pages, mistakes, and whose data they are."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from msgspec.structs import replace

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store, write_logs
from estate_factories import make_asset, make_client, make_person
from forestall.estate.access import make_token
from forestall.estate.models import Asset
from forestall.estate.values import Role
from forestall.kernel.datadir import DataDir
from forestall.kernel.ids import new_id, to_number
from forestall.telemetry.write import insert_samples
from forestall.web import telemetry

AT_MS = 1_764_000_000_000
SPAN = {"since": "2025-11-24T00:00:00Z", "until": "2025-11-25T00:00:00Z"}
PROBLEM = "application/problem+json"
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with start_store(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture(autouse=True)
def _store_of_the_installation(running: StoreProcess, settings: Any, tmp_path: Path) -> Iterator[None]:
    data = DataDir(tmp_path)
    data.create()
    (data.secret / "store").write_bytes(bytes.fromhex(running.key))
    settings.DATA = data
    settings.CONFIG = replace(
        settings.CONFIG, ports=replace(settings.CONFIG.ports, store=running.port), port_offset=0
    )
    telemetry.store.cache_clear()
    yield
    telemetry.store.cache_clear()


def fill(running: StoreProcess, asset: Asset, word: str) -> None:
    place = {"client": to_number(asset.client_id), "asset": to_number(asset.pk)}
    lines = [f"{word} line {number}" for number in range(5)]
    write_logs(running.store, log_columns(lines, **place, at_ms=AT_MS), token=new_id())  # type: ignore[arg-type]
    insert_samples(running.store, sample_columns([0.1, 0.2, 0.4], **place, at_ms=AT_MS), token=new_id())  # type: ignore[arg-type]


def browser_for(*assets: Asset) -> Browser:
    person = make_person(role=Role.READ_ONLY, clients=tuple(asset.client for asset in assets))
    _, secret = make_token(person, name="charts", may=["telemetry:read"])
    return Browser(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)


def ask(browser: Browser, path: str, **query: Any) -> Any:
    return browser.get(f"/api/v1/{path}", SPAN | query)


def test_series_and_their_points(running: StoreProcess) -> None:
    asset = make_asset()
    fill(running, asset, "ours")
    browser = browser_for(asset)
    names = ask(browser, f"assets/{asset.pk}/series").json()["items"]
    assert [(one["metric"], one["value"]) for one in names] == [("cpu.used_ratio", 0.4)]
    points = ask(browser, "series", asset=asset.pk, metric="cpu.used_ratio", pixels=4000).json()
    assert datetime.fromisoformat(points["at"][0]) == datetime.fromtimestamp(AT_MS / 1000, UTC)
    assert max(points["high"]) == 0.4 and len(points["at"]) == len(points["mean"])


def test_log_search_pages_and_counts(running: StoreProcess) -> None:
    asset = make_asset()
    fill(running, asset, "needle")
    browser = browser_for(asset)
    seen: list[str] = []
    cursor = ""
    for _ in range(9):
        page = ask(browser, "logs", q="needle", limit=2, cursor=cursor).json()
        seen += [line["message"] for line in page["items"]]
        assert all(line["asset"] == asset.pk and line["client"] == asset.client_id for line in page["items"])
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"needle line {number}" for number in reversed(range(5))]
    counts = ask(browser, "logs/histogram", q="needle", buckets=10).json()
    assert sum(bucket["count"] for bucket in counts) == 5


def test_nobody_reads_another_clients_telemetry(running: StoreProcess) -> None:
    mine, theirs = make_asset(), make_asset()
    fill(running, mine, "mineword")
    fill(running, theirs, "theirword")
    browser = browser_for(mine)
    assert b"theirword" not in ask(browser, "logs", limit=1000).content
    assert ask(browser, "logs", q="theirword").json()["items"] == []
    assert ask(browser, "logs/histogram", q="theirword").json() == []
    missing = "0000000000000"
    for path, query in (
        (f"assets/{theirs.pk}/series", {}),
        ("series", {"asset": theirs.pk, "metric": "cpu.used_ratio"}),
        ("logs", {"asset": theirs.pk}),
        ("logs", {"client": theirs.client_id}),
        ("logs/histogram", {"client": theirs.client_id}),
    ):
        answer = ask(browser, path, **query)
        nothing = ask(
            browser,
            path.replace(theirs.pk, missing),
            **{name: missing if name in ("asset", "client") else value for name, value in query.items()},
        )
        assert (answer.status_code, answer.content) == (nothing.status_code, nothing.content), path
        assert answer.status_code == 404
    assert browser_for(make_asset(make_client())).get("/api/v1/logs", SPAN).json()["items"] == []


def test_mistakes_are_problems_that_say_where(running: StoreProcess) -> None:
    asset = make_asset()
    browser = browser_for(asset)
    wrong = ask(browser, "logs", q='"unfinished')
    assert (wrong.status_code, wrong["Content-Type"]) == (422, PROBLEM)
    assert isinstance(wrong.json()["errors"][0]["position"], int)
    assert ask(browser, "logs", cursor="rubbish").status_code == 422
    backwards = browser.get("/api/v1/logs", {"since": SPAN["until"], "until": SPAN["since"]})
    assert backwards.status_code == 422 and "before" in backwards.json()["detail"]


def test_a_store_that_is_away_is_said_so(settings: Any) -> None:
    settings.CONFIG = replace(settings.CONFIG, ports=replace(settings.CONFIG.ports, store=1))
    telemetry.store.cache_clear()
    answer = ask(browser_for(make_asset()), "logs")
    assert (answer.status_code, answer["Content-Type"]) == (503, PROBLEM) and answer["Retry-After"]


def test_lines_are_taken_away_as_they_are_found_and_nobody_else_s(running: StoreProcess) -> None:
    asset, foreign = make_asset(), make_asset()
    now_ms = int(datetime.now(UTC).timestamp() * 1000) - 60_000
    for one, word in ((asset, "ours"), (foreign, "theirs")):
        place = {"client": to_number(one.client_id), "asset": to_number(one.pk)}
        lines = log_columns([f"{word} {n}" for n in range(1500)], **place, at_ms=now_ms, step_ms=1)  # type: ignore[arg-type]
        write_logs(running.store, lines, token=new_id())
    browser = Browser()
    browser.force_login(make_person(role=Role.READ_ONLY, clients=(asset.client,)))
    answer = browser.get("/logs/export/", {"q": "ours OR theirs", "span": "15m"})
    rows = [json.loads(row) for row in answer.content.splitlines()]
    assert [row["message"] for row in rows] == [f"ours {n}" for n in reversed(range(1500))]
    assert rows[0]["asset"] == asset.name
    assert answer["content-disposition"].startswith("attachment")
    wrong = browser.get("/logs/export/", {"q": '"open'}, follow=True)
    assert "this quote is not closed" in wrong.content.decode()
    assert 'hx-trigger="every 2s"' in browser.get("/logs/", {"q": "ours", "live": "1"}).content.decode()
