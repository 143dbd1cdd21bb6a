"""Money in whole picodollars (1e-12 USD), never floats.

One picodollar is small enough that every list price is whole: DeepSeek's cheapest cached token costs 3,625 of
them. A signed 64-bit integer holds 9.2 million dollars.
"""

from decimal import Decimal

PICOUSD_PER_USD = 10**12
_PICOUSD_PER_TOKEN_OF_USD_PER_MTOK = 10**6


def picousd_per_token(usd_per_mtok: Decimal) -> int:
    """Turn a list price in USD per million tokens into picodollars per token.

    Raises ValueError if that isn't whole.
    """
    exact = usd_per_mtok * _PICOUSD_PER_TOKEN_OF_USD_PER_MTOK
    whole = int(exact)
    if whole != exact:
        raise ValueError(f"{usd_per_mtok} USD per million tokens is finer than a picodollar a token")
    if whole < 0:
        raise ValueError(f"a price can't be negative: {usd_per_mtok}")
    return whole


def picousd(usd: Decimal) -> int:
    """Turn USD into picodollars. Raises ValueError if that isn't whole."""
    exact = usd * PICOUSD_PER_USD
    whole = int(exact)
    if whole != exact:
        raise ValueError(f"{usd} USD is finer than a picodollar")
    return whole


def usd_text(amount_picousd: int, *, places: int = 4) -> str:
    """Write picodollars as USD, exactly: `places` decimals, and all further ones that aren't zero."""
    sign = "-" if amount_picousd < 0 else ""
    dollars, rest = divmod(abs(amount_picousd), PICOUSD_PER_USD)
    decimals = f"{rest:012d}".rstrip("0").ljust(places, "0")
    return f"{sign}{dollars}.{decimals}" if decimals else f"{sign}{dollars}"
