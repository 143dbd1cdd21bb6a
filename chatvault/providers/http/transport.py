"""The same machine under httpx: a transport with httpx's errors, timeouts and streams, not its pool.

It is for libraries that take an httpx client, and the tests hold the machine to httpx's own edge cases
through it. No provider goes this way, Ollama's rare calls neither: importing httpx takes a fifth of a second,
which would stop the loop, and 8 MB, which an idle gateway need not hold.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import httpx

from chatvault.errors import ChatVaultError, ConfigError, ProviderError, ProviderTimeout
from chatvault.providers.http import faults
from chatvault.providers.http.address import DEFAULT_PORTS, Address
from chatvault.providers.http.clock import Timeouts
from chatvault.providers.http.dial import Dialer
from chatvault.providers.http.head import raw_head, start_line
from chatvault.providers.http.pool import Pool
from chatvault.providers.http.proxy import Proxy, find_proxy, read_proxy
from chatvault.providers.http.response import Response

_NO_ENVIRON: Mapping[str, str] = MappingProxyType({})


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """An httpx transport for HTTP/1.1 on httptools.

    `tls` stands in for the system's trust; `environ` names the proxies, as httpx's own `trust_env` would;
    `proxy` is one for everything. httpx's `pool` timeout has no meaning here: nobody waits for a connection.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        environ: Mapping[str, str] = _NO_ENVIRON,
        proxy: str | None = None,
        max_idle: int = 64,
        idle_seconds: float = 50.0,
    ) -> None:
        self._tls = tls
        self._environ = environ
        self._proxy_url = proxy
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._origins: dict[tuple[str, str, int | None], _Origin] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises httpx's own errors."""
        try:
            origin = self._origin(request.url)
            answer = await origin.send(request)
        except ChatVaultError as exc:
            raise _mapped(exc, request) from exc
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_AnswerStream(answer, request),
            extensions={"http_version": answer.http_version, "reason_phrase": answer.reason},
        )

    async def aclose(self) -> None:
        """Cut every connection."""
        for origin in self._origins.values():
            await origin.pool.aclose()

    def _origin(self, url: httpx.URL) -> "_Origin":
        key = (url.scheme, url.host, url.port)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = self._new_origin(url)
        return origin

    def _new_origin(self, url: httpx.URL) -> "_Origin":
        if url.scheme not in DEFAULT_PORTS or not url.host:
            raise httpx.UnsupportedProtocol(f"no http or https URL: scheme {url.scheme!r}")
        host = url.raw_host.decode("ascii").strip("[]")
        address = Address(url.scheme, host, url.port or DEFAULT_PORTS[url.scheme])
        proxy_url = self._proxy_url or find_proxy(address, self._environ)
        proxy = read_proxy(proxy_url) if proxy_url else None
        pool = Pool(
            address.label,
            Dialer(address, proxy, self._tls),
            max_idle=self._max_idle,
            idle_seconds=self._idle_seconds,
        )
        return _Origin(address, proxy, pool)


class _Origin:
    """One server, and how to write requests for it."""

    def __init__(self, address: Address, proxy: Proxy | None, pool: Pool) -> None:
        self.pool = pool
        self._address = address
        # A proxy for plain HTTP is told the server in each request; one for TLS is told once, by CONNECT.
        self._proxy = None if address.is_tls else proxy

    async def send(self, request: httpx.Request) -> "RawResponse":
        head = self._head(request)
        timeouts = _timeouts(request)
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join(request.stream)
            if len(body) != _declared_length(request, len(body)):
                raise ConfigError("the request's body and its Content-Length differ")
            if _is_chunked(request):
                body = _chunk(body) + b"0\r\n\r\n" if body else b"0\r\n\r\n"
            answer = await self.pool.send(head, body, make=lambda: self._answer(request), timeouts=timeouts)
            assert isinstance(answer, RawResponse)
            return answer
        return await self._upload(request, head, timeouts)

    async def _upload(self, request: httpx.Request, head: bytes, timeouts: Timeouts) -> "RawResponse":
        """Send a body that is still being made; such a request can't be sent again."""
        connection = self.pool.take() or await self.pool.dial(timeouts.connect)
        answer = self._answer(request)
        connection.start(answer, head, timeouts=timeouts, is_whole=False)
        is_chunked, left = _is_chunked(request), _declared_length(request, None)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        is_wanted = True
        try:
            async for piece in request.stream:
                if left is not None:
                    left -= len(piece)
                if left is not None and left < 0:
                    raise ConfigError("the request's body is longer than its Content-Length")
                if piece and not await connection.send(_chunk(piece) if is_chunked else piece):
                    is_wanted = False
                    break
            if is_wanted:
                if left:
                    raise ConfigError("the request's body is shorter than its Content-Length")
                if is_chunked:
                    await connection.send(b"0\r\n\r\n")
                connection.finish_sending()
        except BaseException:
            answer.close()
            raise
        await answer.wait_head()
        return answer

    def _head(self, request: httpx.Request) -> bytes:
        target = request.url.raw_path.decode("ascii")
        headers = request.headers.raw
        if self._proxy is not None:
            target = f"http://{self._address.authority}{target}"
            if self._proxy.authorization is not None:
                headers = [*headers, (b"proxy-authorization", self._proxy.authorization)]
        return raw_head(start_line(request.method, target), headers)

    def _answer(self, request: httpx.Request) -> "RawResponse":
        return RawResponse(self._address.label, is_bodiless=request.method == "HEAD")


class RawResponse(Response):
    """An answer that also keeps its reason phrase and version, which only httpx's users may want."""

    __slots__ = ("http_version", "reason")

    def __init__(self, label: str, *, is_bodiless: bool = False) -> None:
        super().__init__(label, is_bodiless=is_bodiless)
        self.reason = b""
        self.http_version = b"HTTP/1.1"

    def on_status(self, data: bytes) -> None:
        """Take a piece of the reason phrase."""
        self.reason += data

    def on_headers_complete(self) -> None:
        """Take the version with the status."""
        super().on_headers_complete()
        if self.status:
            self.http_version = f"HTTP/{self.parser.get_http_version()}".encode("ascii")
        else:
            self.reason = b""


class _AnswerStream(httpx.AsyncByteStream):
    def __init__(self, answer: Response, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._answer.read():
                yield data
        except ProviderError as exc:
            raise _mapped(exc, self._request) from exc

    async def aclose(self) -> None:
        self._answer.close()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _is_chunked(request: httpx.Request) -> bool:
    return "transfer-encoding" in request.headers


def _declared_length(request: httpx.Request, default: int | None) -> int | None:
    if _is_chunked(request):
        return default
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal():
        raise ConfigError("the request's Content-Length is no number")
    return int(declared)


def _timeouts(request: httpx.Request) -> Timeouts:
    given: Mapping[str, float | None] = request.extensions.get("timeout", {})
    return Timeouts(given.get("connect"), given.get("write"), given.get("read"))


def _mapped(exc: ChatVaultError, request: httpx.Request) -> httpx.TransportError:
    kind: type[httpx.TransportError]
    if isinstance(exc, faults.ConnectTimedOut):
        kind = httpx.ConnectTimeout
    elif isinstance(exc, faults.WriteTimedOut):
        kind = httpx.WriteTimeout
    elif isinstance(exc, ProviderTimeout):
        kind = httpx.ReadTimeout
    elif isinstance(exc, faults.ProxyRefused):
        kind = httpx.ProxyError
    elif isinstance(exc, faults.NotConnected):
        kind = httpx.ConnectError
    elif isinstance(exc, ConfigError):
        kind = httpx.LocalProtocolError
    elif isinstance(exc.__cause__, OSError):
        kind = httpx.ReadError
    else:
        kind = httpx.RemoteProtocolError
    return kind(exc.message, request=request)
