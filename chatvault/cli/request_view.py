"""Single requests: one whole, or the newest as they come."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from zoneinfo import ZoneInfo

from chatvault.cli import output
from chatvault.cli.context import Context
from chatvault.core.json_types import Json, JsonObject
from chatvault.core.ledger import CostBasis, LedgerRow
from chatvault.core.money import usd_text
from chatvault.core.text import printable, shortened
from chatvault.errors import ChatVaultError

_INSTANTS = ("started_at", "finished_at")
_POLL_SECONDS = 0.5


def whole(context: Context, request_id: str) -> JsonObject:
    """Return everything that is known of a request. Raises ChatVaultError where nothing is."""
    from chatvault.store.adjustments import adjusted_cost

    with context.reader() as reader:
        row = reader.request(request_id)
        if row is None:
            running = next((hold for hold in reader.holds() if hold.id == request_id), None)
            if running is None:
                raise ChatVaultError(f"there is no request {request_id}", hint="chatvault usage tail")
            return {"status": "running", **_with_iso(asdict(running))}
        entry = reader.entry_of(row)
        adjusted = adjusted_cost(reader, row.id)
    found: dict[str, Json] = {**to_json(row)}
    if adjusted is not None:
        found["adjusted_cost_usd"] = usd_text(adjusted)
        found["adjusted_cost_picousd"] = adjusted
    if entry is not None:
        found["audit_seq"] = entry.seq
        found["audit_hash"] = entry.hash.hex()
        found["attempts"] = _attempts(entry.body)
    return found


def to_json(row: LedgerRow) -> dict[str, Json]:
    """Return a ledger row as JSON: instants in ISO 8601, its cost in USD as well."""
    found = _with_iso(asdict(row))
    found["cost_usd"] = None if row.cost_picousd is None else usd_text(row.cost_picousd)
    return found


def for_people(found: JsonObject, zone: ZoneInfo) -> JsonObject:
    """Return the same with instants in the viewer's zone."""
    shown: dict[str, Json] = dict(found)
    for name in _INSTANTS:
        value = shown.get(name)
        if isinstance(value, str):
            shown[name] = datetime.fromisoformat(value).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
    return shown


def tail(context: Context, count: int, *, is_following: bool, as_json: bool) -> None:
    """Print the newest requests, and go on with `is_following` until interrupted."""
    zone = context.zone()
    with context.reader() as reader:
        names = {token.id: token.name for token in reader.tokens()}
        found = reader.latest(count)
        if as_json and not is_following:
            output.show_json({"requests": [to_json(row) for _, row in found]})
            return
        last = found[-1][0] if found else 0
        while True:
            for seq, row in found:
                last = seq
                if row.token_id not in names:
                    names = {token.id: token.name for token in reader.tokens()}
                _print(row, names, zone, as_json=as_json)
            if not is_following:
                return
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
            found = reader.latest(1000, after=last)


def line(row: LedgerRow, names: Mapping[str, str], zone: ZoneInfo) -> str:
    """Return a request as one line."""
    parts = [
        datetime.fromtimestamp(row.finished_at / 1000, zone).strftime("%m-%d %H:%M:%S"),
        f"{shortened(printable(names.get(row.token_id, row.token_id)), width=14):<14}",
        f"{shortened(printable(row.model_name), width=30):<30}",
        f"{row.status:<11}",
        str(row.http_status),
        f"{_count(row.input_tokens)}→{_count(row.output_tokens)} tok",
    ]
    if row.ttft_ms is not None:
        parts.append(f"first {row.ttft_ms / 1000:.2f} s")
    if row.duration_ms is not None:
        parts.append(f"{row.duration_ms / 1000:.2f} s")
    return "  ".join([*parts, _cost(row), row.id])


def _print(row: LedgerRow, names: Mapping[str, str], zone: ZoneInfo, *, as_json: bool) -> None:
    if as_json:
        # One object a line: what comes next is not known yet.
        sys.stdout.write(json.dumps({"schema": output.SCHEMA, **to_json(row)}) + "\n")
    else:
        output.show(line(row, names, zone))


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _cost(row: LedgerRow) -> str:
    if row.cost_basis is CostBasis.LOCAL:
        return "local"
    if row.cost_picousd is None:
        return "no price"
    mark = {CostBasis.UPPER_BOUND: "≤", CostBasis.ESTIMATED: "≈"}.get(row.cost_basis, "")
    return f"{mark}${usd_text(row.cost_picousd)}"


def _attempts(body: str) -> list[Json]:
    attempts = json.loads(body).get("attempts")
    return list(attempts) if isinstance(attempts, list) else []


def _with_iso(values: Mapping[str, Json]) -> dict[str, Json]:
    found = dict(values)
    for name in _INSTANTS:
        value = found.get(name)
        if isinstance(value, int):
            found[name] = output.iso(value)
    return found
