"""How much of an answer waits here for a client that does not read."""

import asyncio

# The kernel's own buffer keeps a client busy that reads; what waits here waits for one that doesn't.
UNSENT_BYTES = 16_384


def limit_unsent(transport: asyncio.WriteTransport) -> None:
    """Have a transport's protocol stop once a little waits; over TLS, once the transport below is at that.

    asyncio's own marks come to half a megabyte for each such client, twice with TLS.
    """
    if transport.get_extra_info("sslcontext"):
        # What can't be handed down at once is the sign: what is below has had enough.
        transport.set_write_buffer_limits(high=1, low=0)
    else:
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
