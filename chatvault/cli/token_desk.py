"""Changes of access tokens: by the running daemon, else by this process under the writer's lock."""

import secrets
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.control.tokens import TokenOrder, issue, token_json
from chatvault.core.access import AccessToken, new_secret, secret_hash
from chatvault.core.json_types import JsonObject
from chatvault.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from chatvault.store.transaction import Transaction


def add(context: Context, order: TokenOrder) -> JsonObject:
    """Make an access token; the answer holds its secret, this once."""

    def change(tx: "Transaction") -> JsonObject:
        from chatvault.store import tokens

        token, secret = issue(order, now_ms=context.now_ms(), choose=secrets.choice)
        tokens.add(tx, token, secret_hash(secret))
        return token_json(token, secret=secret)

    return context.change("/v1/tokens", order.to_json(), change)


def revoke(context: Context, name_or_id: str) -> JsonObject:
    """Revoke an access token."""

    def change(tx: "Transaction") -> JsonObject:
        from chatvault.store import tokens

        return token_json(tokens.revoke(tx, name_or_id, now_ms=context.now_ms()))

    return context.change("/v1/tokens/revoke", {"token": name_or_id}, change)


def rotate(context: Context, name_or_id: str, *, grace: str) -> JsonObject:
    """Give an access token a new secret. `grace` is how long the old one still opens the door."""
    seconds = 0 if grace == "0" else _seconds(grace, "--grace 24h")

    def change(tx: "Transaction") -> JsonObject:
        from chatvault.store import tokens

        secret = new_secret(secrets.choice)
        token = tokens.rotate(
            tx,
            name_or_id,
            new_hash=secret_hash(secret),
            last_four=secret[-4:],
            grace_until_ms=context.now_ms() + 1000 * seconds,
        )
        return token_json(token, secret=secret)

    return context.change("/v1/tokens/rotate", {"token": name_or_id, "grace_seconds": seconds}, change)


def listed(context: Context, *, is_all: bool) -> tuple[AccessToken, ...]:
    """Return the access tokens, those that open nothing any more only with `is_all`."""
    now_ms = context.now_ms()
    with context.reader() as reader:
        return tuple(each for each in reader.tokens() if is_all or each.is_valid(now_ms))


def expiry(text: str | None, now_ms: int) -> int | None:
    """Return the instant, in epoch milliseconds, that lies the duration `text` ahead. Raises UsageError."""
    return None if text is None else now_ms + 1000 * _seconds(text, "--expires 90d")


def scope(token: AccessToken) -> str:
    """Say in words which models a token may use."""
    names = ", ".join(token.models) or "all"
    return f"{names} (local only)" if token.is_local_only else names


def state(token: AccessToken, now_ms: int) -> str:
    """Say in a word why a token opens nothing, or nothing where it does."""
    if token.revoked_at is not None:
        return "revoked"
    return "" if token.is_valid(now_ms) else "expired"


def api_url(context: Context, token: JsonObject) -> str:
    """Return the base URL devices are told: the daemon's word, else what the settings make of it."""
    from chatvault.config.base_url import base_url

    told = token.get("base_url")
    if isinstance(told, str):
        return told
    try:
        return f"{base_url(context.settings())}/v1"
    except ConfigError:
        return "http://127.0.0.1:4000/v1"


def _seconds(text: str, example: str) -> int:
    from chatvault.config.scalars import duration

    try:
        seconds = int(duration(text).total_seconds())
    except (ValueError, OverflowError) as exc:
        raise UsageError(str(exc), hint=example) from exc
    if not 0 < seconds <= 100 * 366 * 86_400:
        raise UsageError(f"{text!r} is no useful length of time", hint=example)
    return seconds
