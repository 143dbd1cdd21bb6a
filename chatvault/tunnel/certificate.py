"""The certificate that devices are shown, as the outside check has to meet it."""

import ssl
from collections.abc import Callable

TlsProvider = Callable[[], ssl.SSLContext | None]
"""Returns the context of the moment, None where plain HTTP is served."""


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
