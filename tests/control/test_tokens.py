"""Access tokens as they are ordered and shown."""

import secrets

import pytest

from chatvault.control.tokens import TokenOrder, issue, token_json
from chatvault.core.access import is_well_formed
from chatvault.errors import UsageError


def test_an_order_comes_over_the_socket_unchanged() -> None:
    order = TokenOrder(
        name="phone", user="ann", models=("a/*", "b"), is_local_only=True, expires_at=1795647952000
    )

    assert TokenOrder.from_json(order.to_json()) == order
    assert TokenOrder.from_json(TokenOrder(name="any").to_json()).models == ()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 7},
        {"name": "x", "models": "abc"},
        {"name": "x", "models": [7]},
        {"name": "x", "local_only": "no"},
        {"name": "x", "expires_at": "soon"},
        {"name": "x", "expires_at": "2027-01-01T00:00:00"},
        {"name": "tok_x"},
        {"name": "x" * 65},
        {"name": "x", "user": "a\nb"},
        {"name": "x", "models": ["a b"]},
        {"name": "x", "models": []},
        {"name": "x", "models": [""]},
        {"name": "x", "models": ["a"] * 101},
    ],
)
def test_a_wrong_order_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TokenOrder.from_json(body)  # type: ignore[arg-type]


def test_an_issued_token_fits_its_order_and_hides_its_secret() -> None:
    token, secret = issue(TokenOrder(name="phone", expires_at=2000), now_ms=1000, choose=secrets.choice)

    assert is_well_formed(secret)
    assert (token.name, token.created_at, token.expires_at, token.last_four) == (
        "phone",
        1000,
        2000,
        secret[-4:],
    )
    assert secret not in str(token_json(token))
    assert token_json(token, secret=secret)["secret"] == secret


def test_a_token_that_would_have_expired_is_refused() -> None:
    with pytest.raises(UsageError):
        issue(TokenOrder(name="phone", expires_at=1000), now_ms=1000, choose=secrets.choice)
