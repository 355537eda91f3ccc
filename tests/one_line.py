"""A page as tests read it: how its template is laid out shows nothing."""

from django.http import HttpResponseBase


def one_line(answer: HttpResponseBase) -> str:
    """The text of an answer with all white space as one blank, as a browser shows most of it."""
    return " ".join(answer.content.decode().split())  # type: ignore[attr-defined]
