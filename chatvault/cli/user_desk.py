"""Changes of users: by the running daemon, else by this process under the writer's lock."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.control.limits import COLUMNS
from chatvault.control.users import UserOrder, user_json
from chatvault.core.json_types import Json, JsonObject
from chatvault.errors import UsageError

if TYPE_CHECKING:
    from chatvault.store.transaction import Transaction


def set_limits(context: Context, name: str, words: Mapping[str, str | None]) -> JsonObject:
    """Change the limits that are given, as on the command line; `none` takes one away. Raises UsageError."""
    given = {word: _value(word, text) for word, text in words.items() if text is not None}
    if not given:
        raise UsageError("nothing was to be changed", hint=f"chatvault users set {name} --budget 5.00/day")
    order = UserOrder.from_json({"name": name, **given})

    def change(tx: "Transaction") -> JsonObject:
        from chatvault.store import users

        user = users.set_limits(tx, order.name, order.changes)
        return user_json(user.name, user.created_at, user)

    return context.change("/v1/users", order.to_json(), change)


def _value(word: str, text: str) -> Json:
    if text.lower() in ("none", "null", "off"):
        return None
    if COLUMNS[word] == "budget":
        return text
    try:
        return int(text.replace("_", ""))
    except ValueError as exc:
        raise UsageError(f"--{word} is a whole number or none, got {text!r}", hint=f"--{word} 60") from exc
