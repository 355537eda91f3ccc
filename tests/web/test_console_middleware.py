"""What stands around every page: the host check, what browsers may keep."""

import pytest
from django.test import Client

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
