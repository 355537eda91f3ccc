"""The database's own full-text search over SearchText; SQLite's is kept up by triggers."""

from django.db import migrations

SQLITE = (
    """CREATE VIRTUAL TABLE tickets_search USING fts5(client_id, words, content='tickets_searchtext',
    content_rowid='id', tokenize='unicode61 remove_diacritics 2', prefix='2 3')""",
    """CREATE TRIGGER tickets_search_insert AFTER INSERT ON tickets_searchtext BEGIN
    INSERT INTO tickets_search(rowid, client_id, words) VALUES (new.id, new.client_id, new.words); END""",
    """CREATE TRIGGER tickets_search_delete AFTER DELETE ON tickets_searchtext BEGIN
    INSERT INTO tickets_search(tickets_search, rowid, client_id, words)
    VALUES ('delete', old.id, old.client_id, old.words); END""",
    """CREATE TRIGGER tickets_search_update AFTER UPDATE ON tickets_searchtext BEGIN
    INSERT INTO tickets_search(tickets_search, rowid, client_id, words)
    VALUES ('delete', old.id, old.client_id, old.words);
    INSERT INTO tickets_search(rowid, client_id, words) VALUES (new.id, new.client_id, new.words); END""",
)
POSTGRESQL = ("CREATE INDEX tickets_search ON tickets_searchtext USING gin (to_tsvector('simple', words))",)


def make(apps, editor):
    for statement in SQLITE if editor.connection.vendor == "sqlite" else POSTGRESQL:
        editor.execute(statement)


def drop(apps, editor):
    if editor.connection.vendor == "sqlite":
        for name in ("insert", "delete", "update"):
            editor.execute(f"DROP TRIGGER tickets_search_{name}")
        editor.execute("DROP TABLE tickets_search")
    else:
        editor.execute("DROP INDEX tickets_search")


class Migration(migrations.Migration):
    dependencies = [("tickets", "0001_initial")]
    operations = [migrations.RunPython(make, drop)]
