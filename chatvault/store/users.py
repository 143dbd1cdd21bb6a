"""Users: who owns access tokens."""

# mypy: allow-untyped-calls
# Peewee has no types of its own.

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


def set_limits(
    tx: Transaction,
    name: str,
    *,
    budget: str | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrency: int | None,
) -> None:
    """Replace the limits of the user `name`, making the user if need be."""
    ensure(tx, name)
    limits = {
        "budget": budget,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrency": concurrency,
    }
    UserModel.update(**limits).where(UserModel.name == name).execute(tx.database)
    tx.append("user.changed", {"user": name, **limits})
