"""TLS over a channel: asyncio's own TLS protocol, which asks nothing of a transport but what ours has.

`loop.start_tls` would do on asyncio's loop and fails on uvloop, which takes its own transports only.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any

_HANDSHAKE_SECONDS = 10
_SHUTDOWN_SECONDS = 5


class ChannelTls(SSLProtocol):
    """The server's side of TLS for one channel."""

    # asyncio keeps a buffer of this size for each connection, 256 KiB if it is not told otherwise.
    max_size = 32_768


def server_side(
    loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, context: ssl.SSLContext
) -> asyncio.BaseProtocol:
    """Return the protocol that speaks TLS and hands `protocol` what was inside."""
    # None: nobody waits for the handshake; typeshed asks for a future all the same.
    nobody: Any = None
    return ChannelTls(
        loop,
        protocol,
        context,
        nobody,
        server_side=True,
        call_connection_made=True,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
    )


def presented_certificate(context: ssl.SSLContext) -> bytes:
    """Return the certificate (DER) that a server with `context` shows, by a handshake in memory.

    Raises ssl.SSLError where `context` can't be served with.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(8):
        done = [_step(each) for each in (client, server)]
        if all(done):
            break
    found = client.getpeercert(binary_form=True)
    if found is None:
        raise ssl.SSLError("the handshake in memory showed no certificate")
    return found


def _step(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
