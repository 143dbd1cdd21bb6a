"""Access tokens for tests."""

import hashlib
from dataclasses import replace
from typing import Any

from chatvault.core.access import AccessToken
from tests.support.ledger import NOON


def secret(number: int) -> bytes:
    """Return the hash of some secret."""
    return hashlib.sha256(b"%d" % number).digest()


def a_token(**changes: Any) -> AccessToken:
    """Return an access token of the user `me`."""
    token = AccessToken(
        id="tok_phone1", name="phone", user="me", created_at=NOON, last_four="wxyz", models=("claude*",)
    )
    return replace(token, **changes)
