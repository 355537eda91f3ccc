"""The event stream: it says what kind of thing happened, for the clients that the reader sees alone."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import AsyncClient, Client
from django.utils import timezone

from estate_factories import EVERYTHING, make_client, make_person, scope_for
from forestall.estate.tenancy import NOBODY, Scope
from forestall.journal.actions import append
from forestall.web.live import _stream

pytestmark = pytest.mark.django_db
WAIT_S = 60


def write(kind: str, client: str) -> None:
    append(kind, client=client, subject="x", actor="test", body={"secret": "words"}, at=timezone.now())


def heard(scope: Scope, *entries: tuple[str, str], until: str) -> list[str]:
    """What a stream of that scope says after these entries, up to the one that ends it."""

    async def listen() -> list[str]:
        stream = _stream(scope)
        assert (await anext(stream)).startswith("retry:")
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.2)  # it has looked at the log's size
        for kind, client in entries:
            await sync_to_async(write)(kind, client)
        said: list[str] = []
        while not any(until in text for text in said):
            said.append(await asyncio.wait_for(following, WAIT_S))
            following = asyncio.ensure_future(anext(stream))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()
        return said

    return async_to_sync(listen)()


def test_a_reader_hears_of_their_own_clients_alone() -> None:
    mine, other = make_client(), make_client()
    said = heard(
        scope_for(mine),
        ("finding.opened", other.pk),
        ("estate.provider_changed", ""),
        ("ticket.opened", mine.pk),
        until="ticket.opened",
    )
    assert said == ["event: entry\ndata: ticket.opened\n\n"]


def test_who_sees_everything_hears_everything_once_and_no_content() -> None:
    clients = make_client(), make_client()
    entries = [("finding.opened", client.pk) for client in clients] + [("alert.opened", clients[0].pk)]
    said = heard(EVERYTHING, *entries, until="alert.opened")
    assert said == ["event: entry\ndata: finding.opened\n\n", "event: entry\ndata: alert.opened\n\n"]


def test_nobody_gets_no_stream() -> None:
    assert Client().get("/events").status_code == 302
    assert NOBODY.clients == frozenset()


def test_the_answer_is_a_stream_that_nothing_holds_back() -> None:
    person = make_person()

    async def ask() -> tuple[int, dict[str, str]]:
        browser = AsyncClient()
        await sync_to_async(browser.force_login)(person)
        answer = await browser.get("/events", headers={"accept-encoding": "gzip"})
        headers = {name.lower(): value for name, value in answer.items()}
        answer.close()
        return answer.status_code, headers

    status, headers = async_to_sync(ask)()
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["content-encoding"] == "identity"
    assert headers["cache-control"].startswith("no-cache")
