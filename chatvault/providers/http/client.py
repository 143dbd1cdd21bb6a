"""What a provider holds: one upstream, its fixed headers, and requests that become answers."""

import ssl
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import chatvault
from chatvault.providers.http.address import read_base_url
from chatvault.providers.http.clock import Timeouts
from chatvault.providers.http.dial import Dialer
from chatvault.providers.http.head import has_body, request_head, start_line
from chatvault.providers.http.pool import Counts, Pool
from chatvault.providers.http.proxy import Proxy, find_proxy, read_proxy
from chatvault.providers.http.response import Response

_NO_ENVIRON: Mapping[str, str] = MappingProxyType({})
_MOST_HEADS = 64


class HttpClient:
    """An HTTP/1.1 client of one upstream, with connections that are kept.

    All durations are seconds. `environ` names the proxies; `proxy` is one to use whatever it says, for this
    machine's own addresses too. `tls` stands in for the system's trust. User and password of the URL become
    an Authorization header where a request brings none.

    `read_timeout` is how long the upstream may be silent: from the request's last byte to the first piece
    of the answer, and between pieces. With `manual_clock=True` pieces don't count; `payload_seen` does.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        write_timeout: float = 30.0,
        environ: Mapping[str, str] = _NO_ENVIRON,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
        max_idle: int = 64,
        idle_seconds: float = 50.0,
    ) -> None:
        base = read_base_url(base_url)
        self.address = base.address
        self._label = base.address.label
        self._timeouts = Timeouts(connect_timeout, write_timeout, read_timeout)
        self._proxy_url = proxy or find_proxy(base.address, environ)
        self._tls = tls
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._prefix = base.prefix
        self._fixed = f"host: {base.address.authority}\r\naccept-encoding: identity\r\n".encode("ascii")
        self._agent = f"user-agent: chatvault/{chatvault.__version__}\r\n".encode("ascii")
        self._authorization = base.authorization
        self._opened: Pool | None = None
        self._heads: dict[tuple[str, str, tuple[tuple[bytes, bytes], ...]], bytes] = {}

    @property
    def counts(self) -> Counts:
        """How many connections were made, and how many requests were sent again on a fresh one."""
        return self._pool().counts

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        manual_clock: bool = False,
        head_timeout: float | None = None,
    ) -> Response:
        """Send a request; return when the answer's status and headers are there.

        `head_timeout` takes the place of `read_timeout` until then: some servers are silent until a model is
        loaded.

        Raises ProviderUnreachable, ProviderTimeout, ProviderFailed (an answer that is not HTTP), ConfigError
        (a header that can't be sent). Cancelling it cuts the connection at once.
        """
        pool = self._opened or self._pool()
        answer = await pool.send(
            self._head(method, path, headers, len(body) if has_body(method, body) else None),
            body,
            make=self._head_answer if method == "HEAD" else self._answer,
            timeouts=self._timeouts if head_timeout is None else self._timeouts.with_head(head_timeout),
            manual_clock=manual_clock,
        )
        answer.decode_content()
        return answer

    async def aclose(self) -> None:
        """Cut every connection; requests after this raise ProviderUnreachable."""
        if self._opened is not None:
            await self._opened.aclose()

    def _pool(self) -> Pool:
        if self._opened is None:
            # Not before it is used: a proxy that can't be is this provider's trouble, not the program's.
            proxy = read_proxy(self._proxy_url) if self._proxy_url else None
            self._opened = Pool(
                self.address.label,
                Dialer(self.address, proxy, self._tls),
                max_idle=self._max_idle,
                idle_seconds=self._idle_seconds,
            )
            if proxy is not None and not self.address.is_tls:
                self._speak_to(proxy)
        return self._opened

    def _speak_to(self, proxy: Proxy) -> None:
        """Name the server in each request, as a proxy for plain HTTP wants it (RFC 9112, 3.2.2)."""
        self._prefix = f"http://{self.address.authority}{self._prefix}"
        if proxy.authorization is not None:
            self._fixed += b"proxy-authorization: " + proxy.authorization + b"\r\n"

    def _head(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], length: int | None
    ) -> bytes:
        """Return a request's head. A provider sends few: all but the length is remembered, 4 µs a request."""
        key = (method, path, tuple(headers))
        begun = self._heads.get(key)
        if begun is None:
            line = start_line(method, self._prefix + path)
            begun = request_head(line, self._fixed_for(headers), headers, length=None)[:-2]
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[key] = begun
        return begun + (b"\r\n" if length is None else b"content-length: %d\r\n\r\n" % length)

    def _fixed_for(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        names = [name.lower() for name, _ in headers]
        fixed = self._fixed if b"user-agent" in names else self._fixed + self._agent
        if self._authorization is not None and b"authorization" not in names:
            fixed += b"authorization: " + self._authorization + b"\r\n"
        return fixed

    def _answer(self) -> Response:
        return Response(self._label)

    def _head_answer(self) -> Response:
        return Response(self._label, is_bodiless=True)
