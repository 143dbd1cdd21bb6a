"""Access tokens and users as peewee models, and peewee over a connection we hold already.

The ledger, its holds and the chain are written without models: a `Model.create` costs 200 µs, a row of a bulk
insert 5.
"""

# mypy: allow-subclassing-any
# Peewee has no types of its own.

import sqlite3

from peewee import BigIntegerField, BlobField, IntegerField, Model, SqliteDatabase, TextField


class Borrowed(SqliteDatabase):
    """Peewee over a connection that someone else opened, owns and closes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        super().__init__("borrowed", thread_safe=False)

    def _connect(self) -> sqlite3.Connection:
        return self._connection


class UserModel(Model):
    """Who owns access tokens."""

    name = TextField(primary_key=True)
    created_at = BigIntegerField()
    budget = TextField(null=True)
    requests_per_minute = IntegerField(null=True)
    tokens_per_minute = IntegerField(null=True)
    concurrency = IntegerField(null=True)

    class Meta:
        """The table."""

        table_name = "user"


class TokenModel(Model):
    """An access token: its limits, and the hashes of its secrets."""

    id = TextField(primary_key=True)
    name = TextField()
    user = TextField()
    created_at = BigIntegerField()
    last_four = TextField()
    models = TextField()
    is_local_only = IntegerField()
    expires_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
    last_used_at = BigIntegerField(null=True)
    budget = TextField(null=True)
    requests_per_minute = IntegerField(null=True)
    tokens_per_minute = IntegerField(null=True)
    concurrency = IntegerField(null=True)
    secret_hash = BlobField()
    previous_hash = BlobField(null=True)
    previous_until = BigIntegerField(null=True)
    is_expiry_noted = IntegerField(default=0)
    content = TextField(null=True)

    class Meta:
        """The table."""

        table_name = "token"
