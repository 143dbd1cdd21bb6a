"""Users as the command line and the daemon talk of them: what is to be changed, and what is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from chatvault.control.limits import COLUMNS, HasLimits, checked, limits_json
from chatvault.control.tokens import check_name
from chatvault.core.json_types import Json, JsonObject


@dataclass(frozen=True, slots=True)
class UserOrder:
    """New limits of a user: `changes` by column; None takes a limit away. Raises UsageError."""

    name: str
    changes: Mapping[str, str | int | None]

    def __post_init__(self) -> None:
        check_name("a user", self.name)

    def to_json(self) -> JsonObject:
        """Return the body of `POST /v1/users`."""
        words = {column: word for word, column in COLUMNS.items()}
        return {"name": self.name, **{words[column]: value for column, value in self.changes.items()}}

    @classmethod
    def from_json(cls, body: JsonObject) -> "UserOrder":
        """Read the body of `POST /v1/users`: limits that aren't named stay. Raises UsageError."""
        changes = {column: checked(column, body[word]) for word, column in COLUMNS.items() if word in body}
        return cls(str(body.get("name", "")), changes)


def user_json(name: str, created_at: int, limits: HasLimits) -> JsonObject:
    """Return what is shown of a user."""
    made = datetime.fromtimestamp(created_at / 1000, UTC).isoformat(timespec="seconds")
    shown: dict[str, Json] = {"name": name, "created_at": made.replace("+00:00", "Z")}
    return {**shown, **limits_json(limits)}
