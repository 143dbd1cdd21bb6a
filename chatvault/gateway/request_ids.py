"""The ids of requests: ULIDs, made without a system call.

A request id must be unique, not secret. The system's randomness would cost more than all else of an id: to
ask for it gives up the interpreter's lock, and a busy writer thread takes it.
"""

import random

from chatvault.core.ulid import ulid

_bits = random.Random(random.SystemRandom().getrandbits(256)).getrandbits


def new_request_id(now_ms: int) -> str:
    """Return a new id for a request that starts now, in epoch milliseconds."""
    return ulid(now_ms, _bits(80))
