"""What has been spent of the budgets, as the ledger has it."""

from collections.abc import Sequence

from chatvault.cli.context import Context
from chatvault.control.limits import HasLimits
from chatvault.core.accounts import Spent
from chatvault.core.budget import Calendar, budget
from chatvault.core.money import usd_text
from chatvault.store import budgets
from chatvault.store.reader import Reader


def spent_by_all(context: Context, reader: Reader, of: Sequence[HasLimits]) -> tuple[Spent, ...]:
    """Return what every access token has cost, or nothing where none of `of` has a budget."""
    if all(each.budget is None for each in of):
        return ()
    calendar = Calendar(context.zone(), context.now_ms())
    return budgets.spent(reader.connection, day_ms=calendar.day_ms, month_ms=calendar.month_ms)


def spent_usd(of: HasLimits, sums: Sequence[Spent]) -> str | None:
    """Return what `sums` come to in the time that the budget is for, in USD; None without a budget."""
    if of.budget is None:
        return None
    per = budget(of.budget).per
    total = sum(
        {"day": each.day_picousd, "month": each.month_picousd, "total": each.total_picousd}[per]
        for each in sums
    )
    return usd_text(total)
