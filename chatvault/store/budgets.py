"""What has been spent, for the budgets: summed up from the ledger when the daemon starts.

Whole UTC days come from the daily sums; only the part of a day before the first midnight UTC is read from the
ledger itself. There is no upper bound: a row from a time that lies ahead, written under a clock that was
wrong, counts as spent.
"""

import sqlite3

from chatvault.core.accounts import Spent
from chatvault.core.ulid import lowest
from chatvault.store.daily_sums import DAY_MS

_DAYS = "SELECT token_id, user_id, sum(cost_picousd) FROM usage_day WHERE day >= ? GROUP BY 1, 2"
_ROWS = """SELECT token_id, user_id, coalesce(sum(cost_picousd), 0) FROM ledger
    WHERE id >= ? AND id < ? GROUP BY 1, 2"""
_ADJUSTED = """SELECT token_id, user_id, sum(adjustment.cost_picousd - coalesce(ledger.cost_picousd, 0))
    FROM adjustment JOIN ledger ON ledger.id = adjustment.request_id
    WHERE request_id >= ? AND seq =
        (SELECT max(seq) FROM adjustment AS later WHERE later.request_id = adjustment.request_id)
    GROUP BY 1, 2"""


def spent(connection: sqlite3.Connection, *, day_ms: int, month_ms: int) -> tuple[Spent, ...]:
    """Return what each access token of each user has cost since the day and the month began, and in all.

    `day_ms` and `month_ms` are the first moments of both, in epoch milliseconds. Costs are as last adjusted.
    """
    total, month, day = (_since(connection, start) for start in (0, month_ms, day_ms))
    return tuple(
        Spent(token_id, user, day.get((token_id, user), 0), month.get((token_id, user), 0), picousd)
        for (token_id, user), picousd in total.items()
    )


def _since(connection: sqlite3.Connection, start_ms: int) -> dict[tuple[str, str], int]:
    first_day = -(-start_ms // DAY_MS)
    sums: dict[tuple[str, str], int] = {}
    found = connection.execute(_DAYS, (first_day,)).fetchall()
    if start_ms < first_day * DAY_MS:
        found += connection.execute(_ROWS, (lowest(start_ms), lowest(first_day * DAY_MS))).fetchall()
    found += connection.execute(_ADJUSTED, (lowest(start_ms),)).fetchall()
    for token_id, user, picousd in found:
        key = (str(token_id), str(user))
        sums[key] = sums.get(key, 0) + int(picousd)
    return sums
