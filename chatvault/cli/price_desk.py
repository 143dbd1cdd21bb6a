"""Changes of prices: by the running daemon, else by this process under the writer's lock."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.control.prices import PriceOrder, price_json
from chatvault.core.json_types import JsonObject
from chatvault.core.period import instant
from chatvault.errors import UsageError

if TYPE_CHECKING:
    from chatvault.store.transaction import Transaction


def set_price(context: Context, body: JsonObject) -> JsonObject:
    """Set a price, or take those of a model back. Raises UsageError."""
    order = PriceOrder.from_json(body)
    provider, slash, _ = order.model.partition("/")
    known = context.settings().providers if context.places.config.exists() else {provider: None}
    if order.override is not None and slash and provider not in known:
        names = ", ".join(known) or "none"
        raise UsageError(
            f"{order.model}: the settings have no provider {provider!r}",
            hint=f"PROVIDER/ID, also where the id has a / in it; providers: {names}",
        )

    def change(tx: "Transaction") -> JsonObject:
        from chatvault.store import prices

        if order.override is None:
            prices.take_back(tx, order.model)
        else:
            prices.add(tx, order.override)
        return price_json(order)

    return context.change("/v1/prices", body, change)


def reprice(context: Context, *, since: str, until: str, model: str | None, is_dry_run: bool) -> JsonObject:
    """Have the daemon price settled requests anew: it alone knows every provider and every table.

    Raises UsageError, DaemonNotRunning.
    """
    zone, now = context.zone(), datetime.fromtimestamp(context.now_ms() / 1000, UTC)
    try:
        first, end = (int(instant(text, now, zone=zone).timestamp() * 1000) for text in (since, until))
    except ValueError as exc:
        raise UsageError(str(exc), hint="chatvault prices reprice --since 7d") from exc
    body = {"since_ms": first, "until_ms": end, "model": model, "dry_run": is_dry_run}
    return context.control().post("/v1/prices/reprice", body)
