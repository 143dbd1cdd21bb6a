"""The numbered steps that lead any older database to this program's shape; a released step never changes."""

from dataclasses import dataclass

from chatvault.store.migrations import m0001_first, m0002_audit, m0003_prices, m0004_adjustments


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: after it the database's `user_version` is `number`."""

    number: int
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(1, m0001_first.STATEMENTS),
    Migration(2, m0002_audit.STATEMENTS),
    Migration(3, m0003_prices.STATEMENTS),
    Migration(4, m0004_adjustments.STATEMENTS),
)
