"""Changes of access tokens, from the fields of a request to what is shown of the outcome.

The daemon makes them for its control socket, the command line for itself when no daemon runs: the same
functions, inside the same kind of writing transaction.
"""

import secrets
from collections.abc import Sequence
from typing import cast

from chatvault.core.access import AccessToken, new_secret, secret_hash
from chatvault.core.chat import JsonObject
from chatvault.errors import UsageError
from chatvault.store import tokens
from chatvault.store.transaction import Transaction

_ID_CHARS = 8


def issue(tx: Transaction, fields: JsonObject, *, now_ms: int) -> JsonObject:
    """Make an access token and return what is shown of it, its secret for this once. Raises UsageError."""
    secret = new_secret(secrets.choice)
    token = AccessToken(
        id="tok_" + secrets.token_hex(_ID_CHARS // 2),
        name=_text(fields, "name"),
        user=cast(str, fields.get("user") or "me"),
        created_at=now_ms,
        last_four=secret[-4:],
        models=tuple(cast("Sequence[str]", fields.get("models") or ())),
        is_local_only=bool(fields.get("local_only", False)),
        expires_at=cast("int | None", fields.get("expires_at")),
    )
    tokens.add(tx, token, secret_hash(secret))
    return {**describe(token), "secret": secret}


def revoke(tx: Transaction, fields: JsonObject, *, now_ms: int) -> JsonObject:
    """Revoke an access token by its name or id and return what is shown of it. Raises UsageError."""
    return describe(tokens.revoke(tx, _text(fields, "token"), now_ms=now_ms))


def rotate(tx: Transaction, fields: JsonObject, *, now_ms: int) -> JsonObject:
    """Give an access token a new secret; the old one opens for `grace_seconds` more. Raises UsageError."""
    secret = new_secret(secrets.choice)
    grace_ms = 1000 * cast(int, fields.get("grace_seconds", 0))
    token = tokens.rotate(
        tx,
        _text(fields, "token"),
        new_hash=secret_hash(secret),
        last_four=secret[-4:],
        now_ms=now_ms,
        grace_until_ms=now_ms + grace_ms,
    )
    return {**describe(token), "secret": secret}


def describe(token: AccessToken) -> JsonObject:
    """Return what may be shown of an access token."""
    return {
        "id": token.id,
        "name": token.name,
        "user": token.user,
        "models": list(token.models),
        "local_only": token.is_local_only,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
        "last_four": token.last_four,
    }


def _text(fields: JsonObject, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{key} is missing")
    return value
