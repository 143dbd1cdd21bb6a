"""Users: who owns access tokens."""

# mypy: allow-untyped-calls
# Peewee has no types of its own.

from collections.abc import Mapping
from dataclasses import dataclass

from chatvault.errors import UsageError
from chatvault.store.models import Borrowed, UserModel
from chatvault.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class User:
    """Who owns access tokens, and what all of them together may use; None is no limit."""

    name: str
    created_at: int
    budget: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


def everything(database: Borrowed) -> list[User]:
    """Return all users by name."""
    rows = UserModel.select().order_by(UserModel.name).dicts().execute(database)
    return [User(**row) for row in rows]


def ensure(tx: Transaction, name: str) -> None:
    """Make the user `name` unless there is one. Raises UsageError for a name that can't be one."""
    if not name.strip() or not name.isprintable():
        raise UsageError(f"{name!r} can't be a user's name", hint="use letters, digits and dashes")
    query = UserModel.select(UserModel.name).where(UserModel.name == name)
    if not list(query.execute(tx.database)):
        UserModel.insert(name=name, created_at=tx.now_ms).execute(tx.database)
        tx.append("user.added", {"user": name})


def set_limits(tx: Transaction, name: str, changes: Mapping[str, str | int | None]) -> User:
    """Change limits of the user `name`, making the user if need be, and return the user as it is then.

    `changes` are fields of `User`; None takes a limit away.
    """
    ensure(tx, name)
    if changes:
        UserModel.update(**changes).where(UserModel.name == name).execute(tx.database)
        tx.append("user.changed", {"user": name, **changes})
    (row,) = UserModel.select().where(UserModel.name == name).dicts().execute(tx.database)
    return User(**row)
