"""Sums over ledger rows, and the arithmetic of tables of them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[str | None, ...]


class Sums(NamedTuple):
    """What some requests come to.

    `requests` counts every row, refused ones too. `errors` are those that ended `error` or `interrupted`;
    `interrupted` says how many of these, `refused` and `cancelled` are no errors. `input_tokens` includes
    `cached_tokens`; unknown counts add nothing. Costs are picodollars; what has no price is in
    `unpriced_requests` alone.
    """

    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    interrupted: int = 0
    refused: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_picousd: int = 0
    unpriced_requests: int = 0


NOTHING = Sums()
Table: TypeAlias = dict[Key, Sums]


def add(into: Table, key: Key, sums: Sums, *, sign: int = 1) -> None:
    """Add `sums` to the row `key` of a table, or take them away."""
    known = into.get(key, NOTHING)
    into[key] = Sums(*(a + sign * b for a, b in zip(known, sums, strict=True)))


def total(tables: Iterable[Sums]) -> Sums:
    """Return the sum of sums."""
    result: Table = {}
    for sums in tables:
        add(result, (), sums)
    return result.get((), NOTHING)


def without_empty(table: Mapping[Key, Sums]) -> Table:
    """Drop the rows in which nothing is left."""
    return {key: sums for key, sums in table.items() if any(sums)}
