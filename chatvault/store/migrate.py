"""How one numbered step is taken: through peewee, in one transaction with the number itself."""

# mypy: allow-untyped-calls
# Peewee has no types of its own.

import sqlite3

from peewee import PeeweeException

from chatvault.store import faults
from chatvault.store.connections import APPLICATION_ID
from chatvault.store.migrations import Migration
from chatvault.store.models import Borrowed


def migrate(connection: sqlite3.Connection, migration: Migration) -> None:
    """Bring the database from the shape before `migration` to the one after it, or leave it as it was.

    Raises StorageFull or StoreError.
    """
    connection.execute("PRAGMA synchronous=FULL")
    database = Borrowed(connection)
    try:
        with database.atomic("IMMEDIATE"):
            for statement in migration.statements:
                database.execute_sql(statement)
            database.execute_sql(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute_sql(f"PRAGMA user_version={migration.number}")
    except PeeweeException as error:
        raise faults.store_error(error) from error
