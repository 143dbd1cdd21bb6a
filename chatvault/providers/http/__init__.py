"""ChatVault's own HTTP/1.1 client: asyncio's transports below, llhttp's parser in between, httpx on top.

client      one upstream, what providers hold          transport   the same machine under httpx
pool        idle connections, retries                  head        a request's first lines
connection  what the transport tells                   response    what came, for whoever reads it
outgoing    bytes on their way out                     incoming    what the parser makes of bytes
tcp         DNS, and the first address that answers    decoding    gzip and deflate that nobody asked for
dial        proxies and TLS                            clock       notices silence
address     who is meant by a URL                      proxy       who stands in between
faults      what can go wrong, in words
"""

from chatvault.providers.http.client import HttpClient
from chatvault.providers.http.response import Response

__all__ = ["HttpClient", "Response"]
