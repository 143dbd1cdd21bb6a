"""Prices as the command line and the daemon talk of them: what is to be set, or to be reckoned anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from chatvault.core.json_types import JsonObject
from chatvault.core.money import usd_text
from chatvault.core.pricing import Override, override
from chatvault.errors import UsageError

FIGURES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_TOKENS = 1_000_000
_HINT = "chatvault prices set MODEL --input 0.28 --output 0.42"


@dataclass(frozen=True, slots=True)
class PriceOrder:
    """A price of your own to be set, or, where `override` is None, those of `model` to be taken back."""

    model: str
    override: Override | None

    @classmethod
    def from_json(cls, body: JsonObject) -> "PriceOrder":
        """Read the body of `POST /v1/prices`. Raises UsageError."""
        model = body.get("model")
        if not isinstance(model, str) or not model.strip() or not model.isprintable() or " " in model:
            raise UsageError("a price belongs to a model: its provider's own id, or PROVIDER/ID", hint=_HINT)
        figures = body.get("usd_per_mtok")
        if figures is None:
            return cls(model, None)
        if not isinstance(figures, Mapping):
            raise UsageError("usd_per_mtok holds the prices", hint=_HINT)
        usd = {name: _usd(name, figures.get(name)) for name in FIGURES}
        first, end = _day(body.get("from")), _day(body.get("to"))
        if usd["input"] is None or usd["output"] is None:
            raise UsageError("a price has at least input and output", hint=_HINT)
        if first is not None and end is not None and first >= end:
            raise UsageError("the first day must come before the one on which it no longer holds")
        try:
            return cls(
                model,
                override(
                    model,
                    input=usd["input"],
                    output=usd["output"],
                    cache_read=usd["cache_read"],
                    cache_write_5m=usd["cache_write_5m"],
                    cache_write_1h=usd["cache_write_1h"],
                    from_day=first,
                    until_day=end,
                    note=str(body.get("note") or ""),
                ),
            )
        except ValueError as exc:
            raise UsageError(str(exc), hint=_HINT) from exc


def price_json(order: PriceOrder) -> JsonObject:
    """Return what is shown of a price that was set or taken back."""
    if order.override is None:
        return {"model": order.model, "usd_per_mtok": None}
    prices = order.override.prices
    figures = {name: usd_text(getattr(prices, name) * _TOKENS, places=2) for name in FIGURES}
    return {"model": order.model, "usd_per_mtok": figures, "note": order.override.note}


def _usd(name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        figure = Decimal(str(value))
    except InvalidOperation as exc:
        raise UsageError(f"{name}: {value!r} is no price", hint=_HINT) from exc
    if not figure.is_finite() or not 0 <= figure <= 1_000_000:
        raise UsageError(f"{name}: {value!r} is no price in USD per million tokens", hint=_HINT)
    return figure


def _day(value: object) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError as exc:
        raise UsageError(f"{value!r} is no day", hint="--from 2026-11-01") from exc
