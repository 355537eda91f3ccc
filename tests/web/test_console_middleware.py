"""What stands around every page: the host check, what browsers may keep."""

import asyncio
import warnings
from pathlib import Path

import pytest
from django.contrib.staticfiles.finders import find
from django.test import AsyncClient, Client

from forestall.web.middleware import is_address, name_of


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Forestall.Example:8080", "forestall.example"),
        ("[::1]:8080", "::1"),
        ("10.0.0.5", "10.0.0.5"),
        ("forestall.example.", "forestall.example"),
        ("", ""),
        ("[", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert name_of(header) == name


def test_addresses() -> None:
    assert is_address("192.0.2.1") and is_address("2001:db8::1")
    assert not is_address("192.0.2.1.example.com")
    assert not is_address("")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "192.0.2.7"])
def test_answers_under_its_own_names(host: str) -> None:
    assert Client().get("/healthz", HTTP_HOST=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_answers_under_no_other_name(host: str) -> None:
    answer = Client().get("/healthz", HTTP_HOST=host)
    assert answer.status_code == 421
    assert b"public_url" in answer.content


def test_headers() -> None:
    answer = Client().get("/healthz")
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"


def test_static_files_come_whole_under_asgi() -> None:
    """A streamed file would be a warning at each request, and hold up the event loop."""
    script = Path(str(find("dist/app.js"))).read_bytes()

    async def ask() -> None:
        browser = AsyncClient()
        whole = await browser.get("/static/dist/app.js")
        assert whole.status_code == 200 and not whole.streaming
        assert whole.content == script and whole["Content-Length"] == str(len(script))
        assert whole["Content-Type"].startswith("text/javascript")
        part = await browser.get("/static/dist/app.js", headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, script[10:20])
        known = await browser.get(
            "/static/dist/app.js", headers={"if-modified-since": whole["Last-Modified"]}
        )
        assert (known.status_code, known.content) == (304, b"")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(ask())
