"""The built-in price table: what Claude and DeepSeek models cost, since when, and who says so.

Figures are USD per million tokens, as the providers print them. A row holds for the exact id (or that id with
a date, such as `-20251001`) from one instant to another; outside it there is no price, and no other table is
asked about an id that stands here. Claude's cache writes are 1.25 × the input price for five minutes and 2 ×
for an hour; cache reads follow no rule and are given one by one.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from chatvault.core.model_ids import ANTHROPIC, DEEPSEEK
from chatvault.core.model_limits import Limits, limits
from chatvault.core.money import picousd_per_token
from chatvault.core.rate_card import Modifier, Prices, RateCard, Tier

__all__ = ["CARDS", "KIND_MODIFIERS", "KIND_WEB_SEARCH_PICOUSD", "Limits", "limits"]

_CHECKED_ON = "2026-11-23"
_CLAUDE_PAGE = "https://platform.claude.com/docs/en/about-claude/pricing"
_DEEPSEEK_PAGE = "https://api-docs.deepseek.com/quick_start/pricing"
_LITELLM = f"litellm 1.109.1, model_prices_and_context_window_backup.json, which names {_CLAUDE_PAGE}"
_GENAI = "genai-prices 0.2.3"
# 10 USD per 1,000 searches, no modifier applies (_CLAUDE_PAGE).
_CLAUDE_WEB_SEARCH_PICOUSD = 10 * 10**12 // 1_000

_BATCH = Modifier("tier:batch", 1, 2)
# A workspace's default region can be `us`, so a call bears it without asking.
_US = Modifier("geo:us", 11, 10, is_on_request=False)
_FAST = Modifier("speed:fast", 2, 1)

# What holds for a kind's models that this table doesn't know, when an override or another table prices them.
KIND_MODIFIERS = {ANTHROPIC: (_BATCH, _US, _FAST)}
KIND_WEB_SEARCH_PICOUSD = {ANTHROPIC: _CLAUDE_WEB_SEARCH_PICOUSD}


def _ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1000


def _prices(input: str, output: str, cache_read: str, *, writes: tuple[str, str] | None = None) -> Prices:
    whole = [
        picousd_per_token(Decimal(usd)) for usd in (input, output, cache_read, *(writes or (input, input)))
    ]
    return Prices(*whole)


def _claude(input: str, output: str, cache_read: str) -> Prices:
    usd = Decimal(input)
    return _prices(input, output, cache_read, writes=(str(usd * 5 / 4), str(usd * 2)))


def _row(
    model: str,
    prices: Prices,
    *modifiers: Modifier,
    above: tuple[int, Prices] | None = None,
    from_ms: int | None = None,
    until_ms: int | None = None,
    note: str = _CLAUDE_PAGE,
) -> RateCard:
    return RateCard(
        "builtin",
        ANTHROPIC,
        model,
        (Tier(0, prices),) if above is None else (Tier(0, prices), Tier(*above)),
        modifiers=modifiers,
        web_search_picousd=_CLAUDE_WEB_SEARCH_PICOUSD,
        from_ms=from_ms,
        until_ms=until_ms,
        note=note,
        checked_on=_CHECKED_ON,
    )


def _deepseek(
    model: str,
    off_peak: Prices,
    peak: Prices | None = None,
    *,
    from_ms: int,
    until_ms: int | None = None,
    note: str = _DEEPSEEK_PAGE,
) -> RateCard:
    return RateCard(
        "builtin",
        DEEPSEEK,
        model,
        (Tier(0, off_peak),),
        () if peak is None else (Tier(0, peak),),
        from_ms=from_ms,
        until_ms=until_ms,
        note=note,
        checked_on=_CHECKED_ON,
    )


_SONNET_READS_CUT = _ms(2026, 10, 7)
_LONG_CONTEXT_FLAT = _ms(2026, 3, 13)
_LONG_CONTEXT_GONE = _ms(2026, 4, 30)
_V4_PRICES = _ms(2026, 8, 16, 16)
_V32_PRICES = _ms(2025, 9, 29)
_CHAT_RETIRED = _ms(2026, 7, 24, 16)
_RETIRED_CHAT = (
    "litellm 1.109.1: DeepSeek-V3.2's prices, cut on 2025-09-29; the name was retired on 2026-07-24 at 15:59 "
    "UTC (https://api-docs.deepseek.com/updates)"
)
_RETIRED_CLAUDE = f"{_GENAI}, which keeps retired models"

_ROWS = (
    _row("claude-opus-5-5", _claude("4", "20", "0.20"), _BATCH, _US, _FAST),
    _row("claude-opus-5", _claude("5", "25", "0.50"), _BATCH, _US, _FAST),
    _row("claude-opus-4-8", _claude("5", "25", "0.50"), _BATCH, _US, _FAST),
    _row("claude-opus-4-7", _claude("5", "25", "0.50"), _BATCH, _US),
    _row(
        "claude-opus-4-6",
        _claude("5", "25", "0.50"),
        _BATCH,
        _US,
        above=(200_000, _prices("10", "37.5", "1", writes=("12.5", "20"))),
        until_ms=_LONG_CONTEXT_FLAT,
        note=_GENAI,
    ),
    _row("claude-opus-4-6", _claude("5", "25", "0.50"), _BATCH, _US, from_ms=_LONG_CONTEXT_FLAT),
    _row("claude-opus-4-5", _claude("5", "25", "0.50"), _BATCH),
    _row("claude-sonnet-5-5", _claude("2", "10", "0.20"), _BATCH, _US, until_ms=_SONNET_READS_CUT),
    _row("claude-sonnet-5-5", _claude("2", "10", "0.10"), _BATCH, _US, from_ms=_SONNET_READS_CUT),
    _row("claude-sonnet-5", _claude("2", "10", "0.20"), _BATCH, _US),
    _row(
        "claude-sonnet-4-6",
        _claude("3", "15", "0.30"),
        _BATCH,
        _US,
        above=(200_000, _prices("6", "22.5", "0.60", writes=("7.5", "12"))),
        until_ms=_LONG_CONTEXT_FLAT,
        note=_GENAI,
    ),
    _row(
        "claude-sonnet-4-6",
        _claude("3", "15", "0.30"),
        _BATCH,
        _US,
        from_ms=_LONG_CONTEXT_FLAT,
        note=_LITELLM,
    ),
    _row(
        "claude-sonnet-4-5",
        _claude("3", "15", "0.30"),
        _BATCH,
        above=(200_000, _prices("6", "22.5", "0.60", writes=("7.5", "12"))),
        until_ms=_LONG_CONTEXT_GONE,
        note=_GENAI,
    ),
    _row("claude-sonnet-4-5", _claude("3", "15", "0.30"), _BATCH, from_ms=_LONG_CONTEXT_GONE, note=_LITELLM),
    _row(
        "claude-haiku-5-5",
        _claude("0.10", "0.50", "0.01"),
        _BATCH,
        _US,
        above=(100_000, _claude("0.50", "2.50", "0.05")),
    ),
    _row("claude-haiku-4-5", _claude("1", "5", "0.10"), _BATCH, note=_LITELLM),
    _row("claude-fable-5-2", _claude("8", "40", "0.20"), _BATCH, _US, _FAST, note=_GENAI),
    _row("claude-mythos-5-2", _claude("8", "40", "0.20"), _BATCH, _US, _FAST, note=_GENAI),
    _row("claude-fable-5-1", _claude("10", "50", "0.25"), _BATCH, _US),
    _row("claude-mythos-5-1", _claude("10", "50", "0.25"), _BATCH, _US),
    _row("claude-fable-5", _claude("10", "50", "1"), _BATCH, _US, note=_LITELLM),
    _row("claude-mythos-5", _claude("10", "50", "1"), _BATCH, _US, note=_LITELLM),
    _row("claude-opus-4-1", _claude("15", "75", "1.50"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-opus-4", _claude("15", "75", "1.50"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-sonnet-4", _claude("3", "15", "0.30"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-3-7-sonnet", _claude("3", "15", "0.30"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-3-5-sonnet", _claude("3", "15", "0.30"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-3-5-haiku", _claude("0.80", "4", "0.08"), _BATCH, note=_RETIRED_CLAUDE),
    _row("claude-3-opus", _claude("15", "75", "1.50"), _BATCH, note=_RETIRED_CLAUDE),
    _row(
        "claude-3-haiku",
        # Its five-minute writes cost 0.30, not 1.25 × 0.25.
        _prices("0.25", "1.25", "0.03", writes=("0.30", "0.50")),
        _BATCH,
        note=_RETIRED_CLAUDE,
    ),
    _deepseek(
        "deepseek-flash",
        _prices("0.15", "0.60", "0.003"),
        _prices("0.30", "1.20", "0.006"),
        from_ms=_V4_PRICES,
    ),
    _deepseek(
        "deepseek-v4-flash-vision-exp",
        _prices("0.15", "0.60", "0.003"),
        _prices("0.30", "1.20", "0.006"),
        from_ms=_V4_PRICES,
        note=f"litellm 1.109.1, which names {_DEEPSEEK_PAGE}",
    ),
    _deepseek(
        "deepseek-v4-pro",
        _prices("0.66", "1.98", "0.022"),
        _prices("1.32", "3.96", "0.044"),
        from_ms=_V4_PRICES,
    ),
    _deepseek(
        "deepseek-chat",
        _prices("0.28", "0.42", "0.028"),
        from_ms=_V32_PRICES,
        until_ms=_CHAT_RETIRED,
        note=_RETIRED_CHAT,
    ),
    _deepseek(
        "deepseek-reasoner",
        _prices("0.28", "0.42", "0.028"),
        from_ms=_V32_PRICES,
        until_ms=_CHAT_RETIRED,
        note=_RETIRED_CHAT,
    ),
)


def _by_id(rows: Iterable[RateCard]) -> dict[tuple[str, str], tuple[RateCard, ...]]:
    grouped: dict[tuple[str, str], tuple[RateCard, ...]] = {}
    for row in rows:
        key = (row.provider, row.model)
        grouped[key] = (*grouped.get(key, ()), row)
    return grouped


CARDS = _by_id(_ROWS)
"""Every card there is, by kind and id, in order of time."""
