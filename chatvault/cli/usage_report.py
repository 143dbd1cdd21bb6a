"""The usage report: asked for, and written as a table, JSON and CSV that say the same."""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from chatvault.cli.context import Context
from chatvault.cli.output import Column, iso, local
from chatvault.core.json_types import Json, JsonObject
from chatvault.core.money import usd_text
from chatvault.core.period import instant
from chatvault.core.text import counted
from chatvault.errors import UsageError
from chatvault.store.sums import Sums
from chatvault.store.usage import Report, report

_COUNTS = ("requests", "errors", "input_tokens", "cached_tokens", "output_tokens")
_MORE_COUNTS = ("cancelled", "interrupted", "refused")


def query(
    context: Context,
    *,
    since: str,
    until: str,
    by: str,
    token: str | None,
    model: str | None,
    tz: str | None,
) -> Report:
    """Read the report. Raises UsageError, StoreError."""
    zone = context.zone(tz)
    now = datetime.fromtimestamp(context.now_ms() / 1000, UTC)
    since_ms, until_ms = (_epoch_ms(text, now, zone) for text in (since, until))
    if since_ms >= until_ms:
        raise UsageError(f"{since!r} does not come before {until!r}", hint="chatvault usage --since 7d")
    dimensions = list(dict.fromkeys(each.strip() for each in by.split(",") if each.strip()))
    with context.reader() as reader:
        return report(
            reader,
            since_ms=since_ms,
            until_ms=until_ms,
            by=dimensions,
            timezone=zone,
            token=token,
            model=model,
        )


def to_json(found: Report) -> JsonObject:
    """Return the report as JSON: costs in USD as text, and in whole picodollars."""
    rows: list[Json] = []
    for row in found.rows:
        named: dict[str, Json] = dict(row.values)
        if row.token_id is not None:
            named["token_id"] = row.token_id
        rows.append({**named, **_sums_json(row.sums)})
    return {
        "since": iso(found.since_ms),
        "until": iso(found.until_ms),
        "timezone": found.timezone,
        "by": list(found.by),
        "rows": rows,
        "total": _sums_json(found.total),
    }


def to_csv(found: Report) -> tuple[list[str], list[list[str | int | None]]]:
    """Return the report's titles and rows for CSV; the total is the spreadsheet's to make."""
    titles = [*found.by, *_COUNTS, *_MORE_COUNTS, "cost_usd", "cost_picousd", "unpriced_requests"]
    rows = []
    for row in found.rows:
        cells: list[str | int | None] = [row.values[name] for name in found.by]
        cells += [int(getattr(row.sums, name)) for name in (*_COUNTS, *_MORE_COUNTS)]
        cells += [usd_text(row.sums.cost_picousd), row.sums.cost_picousd, row.sums.unpriced_requests]
        rows.append(cells)
    return titles, rows


def to_table(found: Report) -> tuple[list[Column], list[list[str]]]:
    """Return the report as a table with its total."""
    columns = [Column(name) for name in found.by]
    columns += [
        Column(title, is_number=True) for title in ("requests", "errors", "input", "cached", "output", "cost")
    ]
    rows = [[row.values[name] or "–" for name in found.by] + _cells(row.sums) for row in found.rows]
    if len(found.rows) > 1:
        rows.append([*_total_names(len(found.by)), *_cells(found.total)])
    return columns, rows


def headline(found: Report) -> str:
    """Return the line above the table."""
    zone = ZoneInfo(found.timezone)
    span = f"{local(found.since_ms, zone)} to {local(found.until_ms, zone)}"
    total = found.total
    counts = [
        counted(total.requests, "request"),
        *(f"{count:,} {name}" for name in ("errors", *_MORE_COUNTS) if (count := int(getattr(total, name)))),
    ]
    return f"Usage {span} · {' · '.join(counts)}"


def remarks(found: Report) -> list[str]:
    """Return what has to be said of the figures."""
    lines = []
    if not found.rows:
        lines.append("No requests in this time.")
    if found.total.unpriced_requests:
        count = found.total.unpriced_requests
        plural = "" if count == 1 else "s"
        lines.append(f"+ {count:,} request{plural} without a price: chatvault doctor names the models")
    return lines


def _cells(sums: Sums) -> list[str]:
    cost = (
        "no price"
        if sums.unpriced_requests == sums.requests and sums.requests
        else f"${usd_text(sums.cost_picousd)}"
    )
    if sums.unpriced_requests and sums.unpriced_requests != sums.requests:
        cost += f" + {sums.unpriced_requests} unpriced"
    return [f"{int(getattr(sums, name)):,}" for name in _COUNTS] + [cost]


def _total_names(count: int) -> Sequence[str]:
    return ["total", *[""] * (count - 1)] if count else []


def _sums_json(sums: Sums) -> dict[str, Json]:
    counts: dict[str, Json] = {name: int(getattr(sums, name)) for name in (*_COUNTS, *_MORE_COUNTS)}
    return {
        **counts,
        "cost_usd": usd_text(sums.cost_picousd),
        "cost_picousd": sums.cost_picousd,
        "unpriced_requests": sums.unpriced_requests,
    }


def _epoch_ms(text: str, now: datetime, zone: ZoneInfo) -> int:
    try:
        return int(instant(text, now, zone=zone).timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise UsageError(str(exc), hint="chatvault usage --since 7d") from exc
