"""Money in whole picodollars (1e-12 USD), never floats.

One picodollar is small enough that every list price is whole: DeepSeek's cheapest cached token costs 3,625 of
them. A signed 64-bit integer holds 9.2 million dollars.
"""

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

PICOUSD_PER_USD = 10**12
_PICOUSD_PER_TOKEN_OF_USD_PER_MTOK = 10**6
# A hundred million tokens of it still fit the ledger's 64-bit column.
_MOST_USD_PER_MTOK = 10_000
# What can't be multiplied exactly is no sum of money; 28 digits, decimal's default, would round in silence.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])


def picousd_per_token(usd_per_mtok: Decimal) -> int:
    """Turn a list price in USD per million tokens into picodollars per token.

    Raises ValueError if that isn't whole, or beyond 10,000 USD.
    """
    if usd_per_mtok < 0:
        raise ValueError(f"a price can't be negative: {usd_per_mtok}")
    if usd_per_mtok > _MOST_USD_PER_MTOK:
        raise ValueError(f"no price is above {_MOST_USD_PER_MTOK:,} USD per million tokens: {usd_per_mtok}")
    whole = _whole(usd_per_mtok, _PICOUSD_PER_TOKEN_OF_USD_PER_MTOK)
    if whole is None:
        raise ValueError(f"{usd_per_mtok} USD per million tokens is finer than a picodollar a token")
    return whole


def picousd(usd: Decimal) -> int:
    """Turn USD into picodollars. Raises ValueError if that isn't whole."""
    if abs(usd) > 2**63 // PICOUSD_PER_USD + 1:
        raise ValueError(f"{usd} USD is more than can be counted")
    whole = _whole(usd, PICOUSD_PER_USD)
    if whole is None:
        raise ValueError(f"{usd} USD is finer than a picodollar")
    return whole


def _whole(usd: Decimal, factor: int) -> int | None:
    try:
        exact = _EXACT.multiply(usd, factor)
    except DecimalException:
        return None
    whole = int(exact)
    return whole if whole == exact else None


def usd_text(amount_picousd: int, *, places: int = 4) -> str:
    """Write picodollars as USD, exactly: `places` decimals, and all further ones that aren't zero."""
    sign = "-" if amount_picousd < 0 else ""
    dollars, rest = divmod(abs(amount_picousd), PICOUSD_PER_USD)
    decimals = f"{rest:012d}".rstrip("0").ljust(places, "0")
    return f"{sign}{dollars}.{decimals}" if decimals else f"{sign}{dollars}"
