"""Access tokens in the database. Every change writes its audit entry in the same transaction.

A secret is never stored, only its SHA-256. A token that is being rotated has two until its grace ends.
"""

# mypy: allow-untyped-calls
# Peewee has no types of its own.

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Protocol, cast

from chatvault.core.access import AccessToken
from chatvault.core.chain import Json
from chatvault.errors import UsageError
from chatvault.store import users
from chatvault.store.books import secret_mark
from chatvault.store.models import Borrowed, TokenModel
from chatvault.store.transaction import Transaction

_FIELDS = tuple(field.name for field in fields(AccessToken))
_IS_LIVE = TokenModel.revoked_at.is_null() & (TokenModel.is_expiry_noted == 0)


class HasDatabase(Protocol):
    """A reader, or a transaction."""

    @property
    def database(self) -> Borrowed:
        """Peewee's door to the database."""
        ...


def add(tx: Transaction, token: AccessToken, secret_hash: bytes) -> None:
    """Add an access token, and its user if new. Raises UsageError when a live token has its name."""
    if not token.name.strip() or not token.name.isprintable():
        raise UsageError(f"{token.name!r} can't be an access token's name", hint="use letters and dashes")
    note_expired(tx)
    if _select(tx.database, (TokenModel.name == token.name) & _IS_LIVE):
        raise UsageError(
            f"there is an access token named {token.name!r} already",
            hint=f"choose another name, or: chatvault tokens revoke {token.name}",
        )
    users.ensure(tx, token.user)
    row: dict[str, object] = {name: getattr(token, name) for name in _FIELDS}
    row.update(
        models=json.dumps(token.models), is_local_only=int(token.is_local_only), secret_hash=secret_hash
    )
    TokenModel.insert(**row).execute(tx.database)
    told = {**_told(token), "secret_mark": secret_mark(secret_hash)}
    tx.append("token.added", told, token_id=token.id)


def revoke(tx: Transaction, name_or_id: str, *, now_ms: int) -> AccessToken:
    """Revoke an access token for good and return it. Raises UsageError when no live one is called so."""
    token = replace(_live(tx, name_or_id), revoked_at=now_ms)
    _update(tx, token.id, revoked_at=now_ms, previous_hash=None, previous_until=None)
    told: dict[str, Json] = {"name": token.name, "user": token.user, "revoked_at": now_ms}
    tx.append("token.revoked", told, token_id=token.id)
    return token


def rotate(
    tx: Transaction, name_or_id: str, *, new_hash: bytes, last_four: str, grace_until_ms: int
) -> AccessToken:
    """Give an access token a new secret; the old one opens until `grace_until_ms` (epoch ms).

    Raises UsageError when no live token is called so.
    """
    token = _live(tx, name_or_id)
    (row,) = (
        TokenModel.select(TokenModel.secret_hash)
        .where(TokenModel.id == token.id)
        .tuples()
        .execute(tx.database)
    )
    has_grace = grace_until_ms > tx.now_ms
    _update(
        tx,
        token.id,
        secret_hash=new_hash,
        last_four=last_four,
        previous_hash=bytes(row[0]) if has_grace else None,
        previous_until=grace_until_ms if has_grace else None,
    )
    told: dict[str, Json] = {"name": token.name, "user": token.user, "last_four": last_four}
    told.update(grace_until=grace_until_ms, secret_mark=secret_mark(new_hash))
    tx.append("token.rotated", told, token_id=token.id)
    return replace(token, last_four=last_four)


def note_expired(tx: Transaction) -> list[AccessToken]:
    """Write down which access tokens have expired since this was last asked, and return them."""
    expired = _select(tx.database, _IS_LIVE & (TokenModel.expires_at <= tx.now_ms))
    for token in expired:
        _update(tx, token.id, is_expiry_noted=1)
        tx.append("token.expired", {"name": token.name, "user": token.user}, token_id=token.id)
    return expired


def everything(database: Borrowed) -> list[AccessToken]:
    """Return all access tokens, revoked ones included, oldest first."""
    return _select(database, None)


def load_all(source: HasDatabase) -> list[tuple[AccessToken, bytes]]:
    """Return every hash that may open a door, each with its access token.

    A secret that is being replaced comes with `expires_at` set to the end of its grace.
    """
    query = TokenModel.select().where(TokenModel.revoked_at.is_null()).dicts()
    doors = []
    for row in query.execute(source.database):
        token = _token(row)
        doors.append((token, bytes(row["secret_hash"])))
        if row["previous_hash"] is not None:
            ends = [at for at in (token.expires_at, row["previous_until"]) if at is not None]
            doors.append((replace(token, expires_at=min(ends)), bytes(row["previous_hash"])))
    return doors


def _live(tx: Transaction, name_or_id: str) -> AccessToken:
    is_called_so = (TokenModel.id == name_or_id) | ((TokenModel.name == name_or_id) & _IS_LIVE)
    found = _select(tx.database, is_called_so & TokenModel.revoked_at.is_null())
    if not found:
        raise UsageError(f"there is no access token {name_or_id!r}", hint="chatvault tokens list")
    # Somebody may have named a token after another one's id: the id wins.
    return next((token for token in found if token.id == name_or_id), found[0])


def _select(database: Borrowed, condition: object | None) -> list[AccessToken]:
    query = TokenModel.select().order_by(TokenModel.created_at, TokenModel.id).dicts()
    rows: Iterable[Mapping[str, object]] = (
        query.execute(database) if condition is None else query.where(condition).execute(database)
    )
    return [_token(row) for row in rows]


def _update(tx: Transaction, token_id: str, **columns: object) -> None:
    TokenModel.update(**columns).where(TokenModel.id == token_id).execute(tx.database)


def _token(row: Mapping[str, object]) -> AccessToken:
    values = {name: row[name] for name in _FIELDS}
    values.update(models=tuple(json.loads(str(row["models"]))), is_local_only=bool(row["is_local_only"]))
    return cast(Callable[..., AccessToken], AccessToken)(**values)


def _told(token: AccessToken) -> dict[str, Json]:
    told: dict[str, Json] = {name: getattr(token, name) for name in _FIELDS if name not in ("id", "models")}
    told["models"] = list(token.models)
    return told
