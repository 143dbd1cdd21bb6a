"""The name of a client program, from its User-Agent."""

import re
from functools import lru_cache

_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,40}(?:/[A-Za-z][A-Za-z0-9_.+-]{0,20})?")


def client_name(user_agent: bytes) -> str:
    """Return the first product a User-Agent names, without its version: `OpenAI/Python`, `curl`, `aider`.

    One program is one name, whatever its version; anything that doesn't read as a product is `other`.
    """
    return _name_in(user_agent[:128])


# Programs ask many times, and read 2 µs from a pattern each time.
@lru_cache(maxsize=256)
def _name_in(user_agent: bytes) -> str:
    match = _PRODUCT.match(user_agent.decode("latin-1"))
    return match.group() if match is not None else "other"
