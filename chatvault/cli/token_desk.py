"""Changes of access tokens: by the running daemon, else by this process under the writer's lock."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.cli.output import iso
from chatvault.control.tokens import TokenOrder
from chatvault.core.access import AccessToken
from chatvault.core.chat import Json, JsonObject
from chatvault.errors import ConfigError, DaemonNotRunning, UsageError

if TYPE_CHECKING:
    from chatvault.store.transaction import Transaction

_INSTANTS = ("created_at", "expires_at", "revoked_at", "last_used_at", "grace_until")


def add(context: Context, order: TokenOrder) -> JsonObject:
    """Make an access token; the answer holds its secret, this once."""
    from chatvault.daemon import token_changes

    fields = order.to_json()
    return _change(
        context, "/v1/tokens", fields, lambda tx: token_changes.issue(tx, fields, now_ms=context.now_ms())
    )


def revoke(context: Context, name_or_id: str) -> JsonObject:
    """Revoke an access token."""
    from chatvault.daemon import token_changes

    fields: JsonObject = {"token": name_or_id}
    return _change(
        context,
        "/v1/tokens/revoke",
        fields,
        lambda tx: token_changes.revoke(tx, fields, now_ms=context.now_ms()),
    )


def rotate(context: Context, name_or_id: str, *, grace: str) -> JsonObject:
    """Give an access token a new secret. `grace` is how long the old one still opens the door."""
    from chatvault.daemon import token_changes

    seconds = 0 if grace == "0" else _seconds(grace, "--grace 24h")
    fields: JsonObject = {"token": name_or_id, "grace_seconds": seconds}
    return _change(
        context,
        "/v1/tokens/rotate",
        fields,
        lambda tx: token_changes.rotate(tx, fields, now_ms=context.now_ms()),
    )


def listed(context: Context, *, is_all: bool) -> tuple[AccessToken, ...]:
    """Return the access tokens, those that open nothing any more only with `is_all`."""
    now_ms = context.now_ms()
    with context.reader() as reader:
        return tuple(each for each in reader.tokens() if is_all or each.is_valid(now_ms))


def expiry(text: str | None, now_ms: int) -> int | None:
    """Return the instant, in epoch milliseconds, that lies the duration `text` ahead. Raises UsageError."""
    return None if text is None else now_ms + 1000 * _seconds(text, "--expires 90d")


def shown(token: AccessToken) -> JsonObject:
    """Return an access token as JSON shows it."""
    from chatvault.daemon.token_changes import describe

    return _with_iso(describe(token))


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


def _change(
    context: Context, path: str, fields: JsonObject, change: "Callable[[Transaction], JsonObject]"
) -> JsonObject:
    try:
        return _with_iso(context.control().post(path, fields))
    except DaemonNotRunning:
        with context.store() as store:
            return _with_iso(store.run(change))


def _with_iso(token: JsonObject) -> JsonObject:
    found: dict[str, Json] = dict(token)
    for name in _INSTANTS:
        value = found.get(name)
        if isinstance(value, int):
            found[name] = iso(value)
    return found


def _seconds(text: str, example: str) -> int:
    from chatvault.config.scalars import duration

    try:
        seconds = int(duration(text).total_seconds())
    except (ValueError, OverflowError) as exc:
        raise UsageError(str(exc), hint=example) from exc
    if not 0 < seconds <= 100 * 366 * 86_400:
        raise UsageError(f"{text!r} is no useful length of time", hint=example)
    return seconds
