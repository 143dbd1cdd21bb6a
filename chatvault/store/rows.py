"""How holds and ledger rows lie in their tables, and how they come back."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TypeAlias, cast

from chatvault.core.ledger import CostBasis, Hold, LedgerRow, Status
from chatvault.core.usage import UsageBasis

Cell: TypeAlias = int | str | bytes | None
Cells: TypeAlias = tuple[Cell, ...]

LEDGER_COLUMNS = tuple(field.name for field in fields(LedgerRow))
HOLD_COLUMNS = tuple(field.name for field in fields(Hold))

# sqlite3 takes plain str and int at once and sends anything derived from them, a StrEnum or a bool, through
# its adapters first, at a microsecond a value: so the plain value is fetched.
_PLAIN = {
    "status": "status._value_",
    "usage_basis": "usage_basis._value_",
    "cost_basis": "cost_basis._value_",
    "stream": "stream.real",
    "is_local": "is_local.real",
}

_Values: TypeAlias = Callable[[object], Cells]
ledger_values = cast(_Values, attrgetter(*(_PLAIN.get(name, name) for name in LEDGER_COLUMNS)))
"""Return a ledger row's values in the order of its columns."""
hold_values = cast(_Values, attrgetter(*(_PLAIN.get(name, name) for name in HOLD_COLUMNS)))
"""Return a hold's values in the order of its columns."""

_STREAM = LEDGER_COLUMNS.index("stream")
_STATUS = LEDGER_COLUMNS.index("status")
_USAGE_BASIS = LEDGER_COLUMNS.index("usage_basis")
_COST_BASIS = LEDGER_COLUMNS.index("cost_basis")


def ledger_row(cells: Sequence[Cell]) -> LedgerRow:
    """Turn what was selected as `LEDGER_COLUMNS` into a row. Raises ValueError for what no row can be."""
    values: list[object] = list(cells)
    values[_STREAM] = bool(cells[_STREAM])
    values[_STATUS] = Status(str(cells[_STATUS]))
    values[_USAGE_BASIS] = UsageBasis(str(cells[_USAGE_BASIS]))
    values[_COST_BASIS] = CostBasis(str(cells[_COST_BASIS]))
    build = cast(Callable[..., LedgerRow], LedgerRow)
    return build(*values)


def hold_of(cells: Sequence[Cell]) -> Hold:
    """Turn what was selected as `HOLD_COLUMNS` into a hold."""
    values = dict(zip(HOLD_COLUMNS, cells, strict=True))
    values["stream"] = bool(values["stream"])
    values["is_local"] = bool(values["is_local"])
    return cast(Callable[..., Hold], Hold)(**values)
