"""The second lock of the store: what it carries out and what it refuses, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.telemetry.schema import CREATE
from forestall.telemetry.screen import refusal


@pytest.mark.parametrize(
    "sql",
    [
        *CREATE,
        "SELECT 1",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "WITH 1 AS x SELECT x -- the end",
        "SELECT file, url FROM forestall.logs WHERE message = 'file(''x'') from \\' s3('",
        "INSERT INTO forestall.logs (client) FORMAT Native",
        "SELECT count() /* from file('x') */ FROM system.parts",
        "ALTER TABLE forestall.logs DROP PARTITION ID '20260101'",
        "SHOW TABLES",
    ],
)
def test_what_works_on_own_tables_is_carried_out(sql: str) -> None:
    assert refusal(sql) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM `file`('/etc/passwd')",
        "SELECT * FROM \"FILE\" ( '/etc/passwd')",
        "SELECT * FROM file/* a /* b */ */('/etc/passwd')",
        "SELECT * FROM file -- x\n('/etc/passwd')",
        "SELECT file('/etc/passwd')",
        "file('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM `/etc/passwd`",
        "SELECT * FROM default.`a.csv`",
        "SELECT * FROM default . a",
        "SELECT * FROM s3Cluster('x')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO FUNCTION url('http://x/') VALUES (1)",
        "CREATE TABLE t (a Int8) ENGINE = File(CSV, '/tmp/x')",
        "CREATE TABLE t (a Int8) ENGINE URL('http://x')",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(FILE(path '/x' format 'CSV'))",
        "CREATE FUNCTION f AS x -> x",
        "SET readonly = 0",
        "SYSTEM SHUTDOWN",
        "BACKUP TABLE t TO File('/tmp/x')",
        "SELECT 1; SELECT 2",
        "SELECT $a$ ' $a$, file('/etc/passwd') $b$ ' $b$",
        "SELECT 'open",
        "SELECT /* open",
        "",
    ],
)
def test_what_reaches_outside_is_refused(sql: str) -> None:
    assert refusal(sql)


@given(st.text(max_size=200) | st.text(alphabet="sel ect'\"`$/*-;()file", max_size=80))
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(refusal(text), str)
