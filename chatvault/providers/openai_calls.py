"""The tool calls of a stream, told apart however its server numbers them."""

import secrets
from typing import TypeAlias

import msgspec

Object: TypeAlias = dict[str, object]


class ToolCalls:
    """The tool calls of one stream: each gets an index of its own, from 0 on, and an id."""

    def __init__(self) -> None:
        self._ids: list[object] = []
        self._names: list[object] = []
        self._has_arguments: list[bool] = []
        self._of_their: dict[object, int] = {}
        self._of_id: dict[str, int] = {}

    def mend(self, pieces: list[object]) -> bool:
        """Put the pieces of one delta into OpenAI's shape; return whether that changed any."""
        changes = [self._mend(piece) for piece in pieces if isinstance(piece, dict)]
        return any(changes)

    def _mend(self, piece: Object) -> bool:
        function = piece.get("function")
        if not isinstance(function, dict):
            return False
        before = (piece.copy(), function.copy())
        write_arguments(function)
        theirs = piece.get("index")
        if not isinstance(theirs, int | float | str):
            theirs = None
        at = self._place(theirs, piece.get("id"), function)
        if at is None:
            at = self._open(theirs, piece, function)
        else:
            self._go_on(at, piece, function)
        self._has_arguments[at] |= bool(function.get("arguments"))
        piece["index"] = at
        return (piece, function) != before

    def _place(self, theirs: object, id: object, function: Object) -> int | None:
        """Return which call a piece goes on with, None where it begins one."""
        at = self._of_their.get(theirs) if theirs is not None else len(self._ids) - 1
        if at is None or at < 0:
            return None
        name = function.get("name")
        if not name:
            return self._of_id.get(id, at) if theirs is None and isinstance(id, str) else at
        if id:
            return at if id == self._ids[at] else None
        # A name without an id: another call, unless its arguments go on where the last ones ended.
        begins_anew = str(function.get("arguments") or "{").lstrip().startswith("{")
        is_other = self._has_arguments[at] or (theirs is None and name != self._names[at])
        return None if begins_anew and is_other else at

    def _open(self, theirs: object, piece: Object, function: Object) -> int:
        name_call(piece)
        if function.get("arguments") is None:
            function["arguments"] = ""
        at = len(self._ids)
        self._ids.append(piece["id"])
        if isinstance(piece["id"], str):
            self._of_id.setdefault(piece["id"], at)
        self._names.append(function.get("name"))
        self._has_arguments.append(False)
        if theirs is not None:
            self._of_their[theirs] = at
        return at

    def _go_on(self, at: int, piece: Object, function: Object) -> None:
        # Clients put all pieces together: what was said once must not be said again.
        if piece.get("id"):
            del piece["id"]
        name = function.get("name")
        if name and name == self._names[at]:
            del function["name"]
        self._names[at] = self._names[at] or name


def write_arguments(function: Object) -> None:
    """Write arguments that came as an object as the text that OpenAI has for them."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict | list):
        function["arguments"] = msgspec.json.encode(arguments).decode()


def name_call(call: Object) -> None:
    """Give a call an id where it has none: a client has to name the call in its answer."""
    if not call.get("id"):
        call["id"] = f"call_{secrets.token_hex(6)}"
    call.setdefault("type", "function")
