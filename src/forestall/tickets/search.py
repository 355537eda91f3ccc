"""Words of tickets, found by the database's own full-text search: FTS5 in SQLite, tsvector in PostgreSQL.

The words of a ticket stand in one row of SearchText; triggers (SQLite) or an index (PostgreSQL) of migration
0002 keep the search with it, so that what is deleted there is found no more.
"""

import re

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.tickets.models import SearchText, Ticket

WORDS_MAX_CHARS = 30_000  # of one ticket; what is said later is not indexed
WORDS_MOST = 8
CLIENTS_IN_QUERY_MOST = 200
_WORD = re.compile(r"[^\W_]+")


def index_words(ticket: Ticket, text: str) -> None:
    """What was said on a ticket is found from now on."""
    row = every(SearchText).filter(ticket=ticket.pk).first()
    if row is None:
        words = f"{ticket.number} {ticket.title}\n{text}"[:WORDS_MAX_CHARS]
        SearchText.objects.create(ticket_id=ticket.pk, client_id=ticket.client_id, words=words)
    elif text and len(row.words) < WORDS_MAX_CHARS:
        row.words = f"{row.words}\n{text}"[:WORDS_MAX_CHARS]
        row.save(update_fields=["words"])


def words_of(text: str) -> list[str]:
    """The words that are looked for: letters and digits, at most WORDS_MOST."""
    return [word.lower() for word in _WORD.findall(text)][:WORDS_MOST]


def found_by(scope: Scope, text: str) -> "QuerySet[SearchText]":
    """The rows whose tickets hold all words; the last word may be the beginning of one. Nothing for no
    word."""
    rows = seen(SearchText, scope)
    words = words_of(text)
    if not words:
        return rows.none()
    if connection.vendor == "sqlite":
        match = " AND ".join([*(f'"{word}"' for word in words[:-1]), f'"{words[-1]}"*'])
        if not scope.everything and len(scope.clients) <= CLIENTS_IN_QUERY_MOST:
            owners = " OR ".join(f'"{client}"' for client in sorted(scope.clients)) or '"-"'
            match = f"words : ({match}) AND client_id : ({owners})"
        else:
            match = f"words : ({match})"
        sql = "SELECT rowid FROM tickets_search WHERE tickets_search MATCH %s"
        return rows.filter(Q(pk__in=RawSQL(sql, (match,))))  # noqa: S611 - the words are a parameter
    query = " & ".join([*words[:-1], f"{words[-1]}:*"])
    sql = "SELECT id FROM tickets_searchtext WHERE to_tsvector('simple', words) @@ to_tsquery('simple', %s)"
    return rows.filter(Q(pk__in=RawSQL(sql, (query,))))  # noqa: S611 - as above
