"""The name of a client program, from its User-Agent."""

import re

_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,40}(?:/[A-Za-z][A-Za-z0-9_.+-]{0,20})?")


def client_name(user_agent: bytes) -> str:
    """Return the first product a User-Agent names, without its version: `OpenAI/Python`, `curl`, `aider`.

    One program is one name, whatever its version; anything that doesn't read as a product is `other`.
    """
    match = _PRODUCT.match(user_agent[:128].decode("latin-1"))
    return match.group() if match is not None else "other"
