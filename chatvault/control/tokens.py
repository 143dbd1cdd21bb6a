"""Access tokens as the command line and the daemon talk of them: what is asked for, and what is shown."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chatvault.control.limits import COLUMNS, checked, limits_json
from chatvault.core.access import AccessToken, new_secret, token_id
from chatvault.core.json_types import Json, JsonObject
from chatvault.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_GLOB = re.compile(r"[^\s,\x00-\x1f\x7f]{1,200}")
_MOST_GLOBS = 100
_NO_GLOBS = "the list of models names none"
_GLOB_HINT = "--models 'claude-*,fast', or leave it out to allow every model"
_CONTENT_LEVELS = ("off", "errors", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """A new access token, as asked for. `expires_at` is in epoch milliseconds. Raises UsageError."""

    name: str
    user: str = "me"
    models: tuple[str, ...] = ()
    is_local_only: bool = False
    expires_at: int | None = None
    budget: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    content: str | None = None

    def __post_init__(self) -> None:
        check_name("an access token", self.name)
        check_name("a user", self.user)
        for column in COLUMNS.values():
            object.__setattr__(self, column, checked(column, getattr(self, column)))
        if self.content not in (None, *_CONTENT_LEVELS):
            raise UsageError(f"{self.content!r} can't be kept", hint="--content off, errors or full")
        if len(self.models) > _MOST_GLOBS or not all(_GLOB.fullmatch(glob) for glob in self.models):
            raise UsageError("models are names with * and ?, separated by commas", hint=_GLOB_HINT)

    def to_json(self) -> JsonObject:
        """Return the body of `POST /v1/tokens`."""
        return {
            "name": self.name,
            "user": self.user,
            "models": list(self.models) or None,
            "local_only": self.is_local_only,
            "expires_at": _iso(self.expires_at),
            "content": self.content,
            **limits_json(self),
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> "TokenOrder":
        """Read the body of `POST /v1/tokens`. Raises UsageError.

        Without `models` every model may be used; an empty list names none, which no one can mean.
        """
        name, user, models = body.get("name"), body.get("user") or "me", body.get("models")
        if models == []:
            raise UsageError(_NO_GLOBS, hint=_GLOB_HINT)
        models = [] if models is None else models
        is_local_only = body.get("local_only") or False
        content = body.get("content")
        if (
            not isinstance(name, str)
            or not isinstance(user, str)
            or not isinstance(models, list | tuple)
            or not all(isinstance(each, str) for each in models)
            or not isinstance(is_local_only, bool)
            or not isinstance(content, str | None)
        ):
            raise UsageError("that is no order of an access token", hint="chatvault tokens add NAME")
        limits: dict[str, Any] = {column: checked(column, body.get(word)) for word, column in COLUMNS.items()}
        return cls(
            name=name,
            user=user,
            models=tuple(str(each) for each in models),
            is_local_only=is_local_only,
            expires_at=_epoch_ms(body.get("expires_at")),
            content=content,
            **limits,
        )


def globs(text: str) -> tuple[str, ...]:
    """Read `GLOB,…`. Raises UsageError where it names no model: that must never allow every one."""
    found = tuple(each.strip() for each in text.split(",") if each.strip())
    if not found:
        raise UsageError(_NO_GLOBS, hint=_GLOB_HINT)
    return found


def issue(order: TokenOrder, *, now_ms: int, choose: Callable[[str], str]) -> tuple[AccessToken, str]:
    """Make the access token of `order`, and its secret.

    `choose` picks one character at random (`secrets.choice`). Raises UsageError where it would be expired.
    """
    if order.expires_at is not None and order.expires_at <= now_ms:
        raise UsageError("the access token would have expired already", hint="--expires 90d")
    secret = new_secret(choose)
    token = AccessToken(
        id=token_id(choose),
        name=order.name,
        user=order.user,
        created_at=now_ms,
        last_four=secret[-4:],
        models=order.models,
        is_local_only=order.is_local_only,
        expires_at=order.expires_at,
        budget=order.budget,
        requests_per_minute=order.requests_per_minute,
        tokens_per_minute=order.tokens_per_minute,
        concurrency=order.concurrency,
        content=order.content,
    )
    return token, secret


def check_name(what: str, name: str) -> None:
    """Raise UsageError where `name` can't name an access token or a user (`what`)."""
    # An id must never be taken for a name: both name a token on the command line.
    if not _NAME.fullmatch(name) or name.startswith("tok_"):
        raise UsageError(
            f"{name!r} can't name {what}",
            hint="up to 64 letters, digits, . _ @ - with a letter or digit first, but not tok_",
        )


def token_json(token: AccessToken, *, secret: str | None = None) -> JsonObject:
    """Return what is shown of an access token; `secret` once, when it is new."""
    shown: dict[str, Json] = {
        "id": token.id,
        "name": token.name,
        "user": token.user,
        "last_four": token.last_four,
        "models": list(token.models),
        "local_only": token.is_local_only,
        "created_at": _iso(token.created_at),
        "expires_at": _iso(token.expires_at),
        "revoked_at": _iso(token.revoked_at),
        "last_used_at": _iso(token.last_used_at),
        "content": token.content,
        **limits_json(token),
    }
    return shown if secret is None else {**shown, "secret": secret}


def _iso(epoch_ms: int | None) -> str | None:
    if epoch_ms is None:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _epoch_ms(value: object) -> int | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise UsageError(f"{value!r} is no instant", hint="2027-01-31T00:00:00Z") from exc
    if moment.tzinfo is None:
        raise UsageError(f"{value!r} names no zone", hint="2027-01-31T00:00:00Z")
    return int(moment.timestamp()) * 1000
