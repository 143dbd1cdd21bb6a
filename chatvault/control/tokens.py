"""What is asked for when an access token is ordered, checked before it reaches the database."""

import re
from dataclasses import dataclass

from chatvault.core.chat import JsonObject
from chatvault.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_GLOB = re.compile(r"[^\s,\x00-\x1f\x7f]{1,200}")
_MOST_GLOBS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """A new access token, as asked for. `expires_at` is in epoch milliseconds. Raises UsageError."""

    name: str
    user: str = "me"
    models: tuple[str, ...] = ()
    is_local_only: bool = False
    expires_at: int | None = None

    def __post_init__(self) -> None:
        for what, name in (("an access token", self.name), ("a user", self.user)):
            # An id must never be taken for a name: both name a token on the command line.
            if not _NAME.fullmatch(name) or name.startswith("tok_"):
                raise UsageError(
                    f"{name!r} can't name {what}",
                    hint="up to 64 letters, digits, . _ @ - with a letter or digit first, but not tok_",
                )
        if len(self.models) > _MOST_GLOBS or not all(_GLOB.fullmatch(glob) for glob in self.models):
            raise UsageError(
                "models are names with * and ?, separated by commas", hint="--models 'claude-*,fast'"
            )

    def to_json(self) -> JsonObject:
        """Return the body of `POST /v1/tokens`."""
        return {
            "name": self.name,
            "user": self.user,
            "models": list(self.models),
            "local_only": self.is_local_only,
            "expires_at": self.expires_at,
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> "TokenOrder":
        """Read the body of `POST /v1/tokens`. Raises UsageError."""
        name, user, models = body.get("name"), body.get("user") or "me", body.get("models") or []
        expires_at, is_local_only = body.get("expires_at"), body.get("local_only") or False
        if (
            not isinstance(name, str)
            or not isinstance(user, str)
            or not isinstance(models, list | tuple)
            or not all(isinstance(each, str) for each in models)
            or not isinstance(is_local_only, bool)
            or not (expires_at is None or (isinstance(expires_at, int) and not isinstance(expires_at, bool)))
        ):
            raise UsageError("that is no order of an access token", hint="chatvault tokens add NAME")
        return cls(
            name=name,
            user=user,
            models=tuple(str(each) for each in models),
            is_local_only=is_local_only,
            expires_at=expires_at,
        )
