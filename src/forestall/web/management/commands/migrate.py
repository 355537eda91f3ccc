"""Migrate; an empty database gets its tables at once, from the models; PostgreSQL the walls between clients.

Migrations one by one draw the whole world of models again for every step: 9 CPU seconds for a database
that holds nothing. An empty one has nothing to carry over: its tables are made as the models say, every
migration is recorded as applied, and what a migration does beside its models (a search index) is done.
That both ways give the same tables is tested (tests/contract/test_migrate.py).
"""

from typing import Any

from django.apps import apps
from django.core.management.commands import migrate
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.special import RunPython, RunSQL

from forestall.keeping.walls import raise_walls

OTHER_WISHES = ("app_label", "migration_name", "fake", "fake_initial", "plan", "check_unapplied", "prune")


class Command(migrate.Command):
    """`migrate` as Django has it, with a short way for an empty database."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        whole = not any(options.get(wish) for wish in OTHER_WISHES)
        if whole and not connection.introspection.table_names():
            lay_tables(connection)
        super().handle(*args, **options)
        if whole and connection.vendor == "postgresql":
            raise_walls(connection)


def lay_tables(connection: BaseDatabaseWrapper) -> None:
    """Make every table of an empty database in one transaction: all of them, or none."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    whole = executor.loader.project_state()
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.can_migrate(connection):
                editor.create_model(model)
        for migration, _ in plan:
            for operation in migration.operations:
                if isinstance(operation, RunPython | RunSQL):
                    operation.database_forwards(migration.app_label, editor, whole, whole)
        executor.recorder.ensure_schema()
        for migration, _ in plan:
            executor.recorder.record_applied(migration.app_label, migration.name)
