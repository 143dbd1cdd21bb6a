"""Access tokens: their format, and what one allows.

`cvk_` + 32 base62 characters of randomness + 6 base62 characters of CRC32 over all that stands before.
The checksum tells a typo from a wrong token without asking the database, and lets scanners find leaked ones:
`\\bcvk_[0-9A-Za-z]{38}\\b`.
"""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "cvk_"
_RANDOM_CHARS = 32
_CHECK_CHARS = 6
_ID_CHARS = 6
_LENGTH = len(_PREFIX) + _RANDOM_CHARS + _CHECK_CHARS


def new_secret(choose: Callable[[str], str]) -> str:
    """Make an access token's secret.

    `choose` picks one character of a string at random (`secrets.choice`).
    """
    body = _PREFIX + "".join(choose(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return body + _checksum(body)


def token_id(choose: Callable[[str], str]) -> str:
    """Make an access token's id: public, and short enough to type."""
    return "tok_" + "".join(choose(_ALPHABET) for _ in range(_ID_CHARS))


def is_well_formed(secret: str) -> bool:
    """Whether `secret` has an access token's shape and its checksum fits."""
    if len(secret) != _LENGTH or not secret.startswith(_PREFIX) or not secret.isascii():
        return False
    return _checksum(secret[:-_CHECK_CHARS]) == secret[-_CHECK_CHARS:]


def secret_hash(secret: str) -> bytes:
    """Return what is stored of a secret: its SHA-256. 191 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a device holds, without its secret. Epochs are milliseconds; an empty `models` allows every model.

    The limits are kept from the first day on: `budget` is written as on the command line (`5.00/day`).
    `content` says whether prompts and answers are kept (off, errors, full); None leaves it to the settings.
    """

    id: str
    name: str
    user: str
    created_at: int
    last_four: str
    models: tuple[str, ...] = ()
    is_local_only: bool = False
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    budget: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    content: str | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether the token opens anything at `now_ms`."""
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)

    def allows(self, name: str, route: str, *, is_local: bool) -> bool:
        """Whether the token may use the model `name` at PROVIDER/NAME `route`.

        A glob may match the name that was sent (an alias), PROVIDER/NAME, or the provider's own NAME.
        """
        if self.is_local_only and not is_local:
            return False
        if not self.models:
            return True
        names = (name, route, route.partition("/")[2])
        return any(fnmatchcase(each, glob) for glob in self.models for each in names)
