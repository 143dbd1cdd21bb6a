"""A secret that can't be printed, logged, pickled or written as JSON by accident."""

from typing import NoReturn


class Secret:
    """Hold a secret.

    Only `reveal()` gives it away. An empty one is refused: it would open a door, not close it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value.strip():
            raise ValueError("a secret can't be empty")
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one line that sends it."""
        return self._value

    def masked(self) -> str:
        """Return enough to recognise it by: its prefix and its last three characters."""
        value = self._value
        if len(value) < 12:
            return "…"
        head = "-".join(value.split("-")[:2])[:7] if "-" in value else value[:3]
        return f"{head}…{value[-3:]}"

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
