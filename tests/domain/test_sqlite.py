"""Business data stand on a SQLite that has the fix of the WAL-reset bug (docs/decisions/0003-sqlite.md)."""

import pytest
from django.db import connection


@pytest.mark.django_db
def test_the_library_in_use_has_the_fix() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()")
        version = tuple(int(part) for part in cursor.fetchone()[0].split("."))
    assert version >= (3, 51, 3)
