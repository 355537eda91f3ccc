"""Secrets at rest: nothing plain in the database, and nothing opens where it was not sealed."""

import base64

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estate_factories import EVERYTHING, make_asset, make_client
from forestall.estate.actions import add_probe
from forestall.estate.amending import change_probe
from forestall.estate.enrolment import open_settings
from forestall.estate.models import ClientKey
from forestall.estate.vault import PREFIX, open_sealed, seal
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db
SECRET = "s3cret-that-nobody-reads"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=200), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_flipped_bit_and_it_does_not_open(text: str, place: int, bit: int) -> None:
    client = make_client()
    sealed = seal(client.pk, "record", text)
    assert open_sealed(client.pk, "record", sealed) == text
    data = bytearray(base64.b64decode(sealed.removeprefix(PREFIX)))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(Trouble):
        open_sealed(client.pk, "record", PREFIX + base64.b64encode(bytes(data)).decode())


def test_it_opens_nowhere_else() -> None:
    client, other = make_client(), make_client()
    sealed = seal(client.pk, "record", SECRET)
    for owner, record in ((other.pk, "record"), (client.pk, "other"), (None, "record")):
        with pytest.raises(Trouble):
            open_sealed(owner, record, sealed)
    assert seal(client.pk, "record", SECRET) != sealed, "the same secret twice does not look the same"
    with pytest.raises(Trouble):
        open_sealed(client.pk, "record", SECRET)


def test_a_client_key_of_another_client_does_not_open() -> None:
    client, other = make_client(), make_client()
    seal(client.pk, "r", "a")
    sealed = seal(other.pk, "r", SECRET)
    stolen = ClientKey.objects.get(client=other).wrapped
    ClientKey.objects.filter(client=client).update(wrapped=stolen)
    with pytest.raises(Trouble, match="restore it"):
        open_sealed(client.pk, "r", sealed)


def test_a_probes_secret_is_not_in_the_database() -> None:
    asset = make_asset()
    probe = add_probe(
        EVERYTHING, asset=asset, kind="sql", target="db.example:5432",
        settings={"user": "monitor", "password": SECRET}, secrets=["password"],
    )  # fmt: skip
    assert not _found_in_database(SECRET)
    assert open_settings(probe) == {"user": "monitor", "password": SECRET}
    change_probe(EVERYTHING, probe, settings={"user": "other"}, secrets=["password"])
    assert open_settings(probe) == {"user": "other", "password": SECRET}, "left out, it stays"
    with pytest.raises(Trouble, match="sealed"):
        change_probe(EVERYTHING, probe, settings={"user": probe.settings["password"]})


def _found_in_database(text: str) -> bool:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            if any(text.encode() in _bytes(value) for row in cursor.fetchall() for value in row):
                return True
    return False


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
