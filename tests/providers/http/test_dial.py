import asyncio
import ssl

import pytest

from chatvault.errors import ProviderTimeout, ProviderUnreachable
from chatvault.providers.http import HttpClient
from chatvault.providers.http.dial import default_tls
from chatvault.providers.http.faults import ConnectTimedOut, NotConnected, ProxyRefused
from tests.providers.http.conftest import Run
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.proxy_server import tunnelling
from tests.support.scripted_server import Peer, Script, forever, serving, silence
from tests.support.waiting import until


async def ask(client: HttpClient) -> bytes:
    try:
        answer = await client.request("POST", "/v1/x", body=b"{}")
        return await answer.read_all()
    finally:
        await client.aclose()


def test_a_refused_connection_asks_whether_it_is_running(run: Run) -> None:
    async def main() -> None:
        port = free_port()
        with pytest.raises(ProviderUnreachable, match=f"127.0.0.1:{port}: connection refused") as caught:
            await ask(HttpClient(f"http://127.0.0.1:{port}"))
        assert caught.value.hint == "is it running?"

    run(main())


def test_a_name_that_does_not_exist_is_said_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with pytest.raises(NotConnected, match="name was not found"):
            await ask(HttpClient("http://no-such-host.invalid"))
        with pytest.raises(NotConnected, match="name was not found"):
            await ask(HttpClient(f"http://{'a' * 70}.invalid"))

    run(main())


def test_tls_with_a_trusted_certificate(run: Run, authority: Authority) -> None:
    async def main() -> None:
        names: list[str] = []
        context = authority.server("localhost", "127.0.0.1")
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda _socket, name, _context: names.append(name)
        async with serving(forever, tls=context) as server:
            client = HttpClient(server.url.replace("127.0.0.1", "localhost"), tls=authority.client())
            for _ in range(3):
                answer = await client.request("POST", "/", body=b"{}")
                assert await answer.read_all() == b"ok"
            assert client.counts.connections == 1
            assert names == ["localhost"]
            assert await ask(HttpClient(server.url, tls=authority.client())) == b"ok"
            await client.aclose()

    run(main())


def test_a_large_exchange_over_tls(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer(bytes(3 << 20))
            await peer.gone()

        async with serving(script, tls=authority.server("127.0.0.1")) as server:
            client = HttpClient(server.url, tls=authority.client())
            answer = await client.request("POST", "/", body=bytes(3 << 20))
            assert await answer.read_all() == bytes(3 << 20)
            assert len(server.requests[0].body) == 3 << 20
            await client.aclose()

    run(main())


def test_the_default_context_asks_for_http_1(authority: Authority, run: Run) -> None:
    assert default_tls() is default_tls()
    assert default_tls().verify_mode == ssl.CERT_REQUIRED
    assert default_tls().check_hostname

    async def main() -> None:
        async with serving(forever, tls=authority.server("127.0.0.1")) as server:
            with pytest.raises(NotConnected, match="certificate is not trusted") as caught:
                await ask(HttpClient(server.url))
            assert caught.value.hint is not None
            assert "SSL_CERT_FILE" in caught.value.hint

    run(main())


def test_another_hosts_certificate_is_refused(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async with serving(forever, tls=authority.server("elsewhere.example")) as server:
            with pytest.raises(NotConnected, match="certificate is not trusted"):
                await ask(HttpClient(server.url, tls=authority.client()))

    run(main())


def test_tls_to_a_plain_server_hints_at_the_scheme(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async def plain(peer: Peer) -> None:
            await peer.reader.read(100)
            await peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        async with serving(plain) as server:
            with pytest.raises(NotConnected) as caught:
                await ask(HttpClient(server.url.replace("http:", "https:"), tls=authority.client()))
            assert "https" in str(caught.value.hint)

    run(main())


def test_a_plain_request_to_a_tls_server_is_an_error(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async with serving(forever, tls=authority.server("127.0.0.1")) as server:
            with pytest.raises(Exception, match=f"127.0.0.1:{server.port}"):
                await ask(HttpClient(server.url.replace("https:", "http:")))

    run(main())


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_server_that_hangs_up_in_the_handshake(run: Run, authority: Authority, is_at_once: bool) -> None:
    async def main() -> None:
        async def rude(peer: Peer) -> None:
            if not is_at_once:
                await peer.reader.read(10)

        async with serving(rude) as server:
            client = HttpClient(
                server.url.replace("http:", "https:"), tls=authority.client(), connect_timeout=60
            )
            with pytest.raises(NotConnected):
                await asyncio.wait_for(ask(client), 10)

    run(main())


def test_a_handshake_that_never_ends_times_out_and_leaves_nothing(run: Run, authority: Authority) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def mute(peer: Peer) -> None:
            await peer.gone()
            cut.set()

        async with serving(mute) as server:
            url = server.url.replace("http:", "https:")
            client = HttpClient(url, tls=authority.client(), connect_timeout=0.05)
            with pytest.raises(ConnectTimedOut, match=r"no connection within 0\.05 s"):
                await ask(client)
            await asyncio.wait_for(cut.wait(), 10)

    run(main())


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.01, 0.02])
def test_cancelling_a_handshake_leaves_nothing(run: Run, authority: Authority, delay: float) -> None:
    async def main() -> None:
        async with serving(silence) as server:
            client = HttpClient(server.url.replace("http:", "https:"), tls=authority.client())
            asking = asyncio.ensure_future(client.request("GET", "/"))
            await asyncio.sleep(delay)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.sleep(0.02)
            await until(lambda: all(peer.reader.at_eof() for peer in server.peers))
            await client.aclose()

    run(main())


# Proxies. The server is this machine, so the proxy is asked for outright.


def test_a_plain_request_through_a_proxy_names_the_server(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as proxy:
            client = HttpClient(
                "http://api.example.com/base", environ={"HTTP_PROXY": f"http://me:pw@127.0.0.1:{proxy.port}"}
            )
            assert await ask(client) == b"ok"
            request = proxy.requests[0]
            assert request.lines[0] == b"POST http://api.example.com/base/v1/x HTTP/1.1"
            assert request.header(b"host") == b"api.example.com"
            assert request.header(b"proxy-authorization") == b"Basic bWU6cHc="

    run(main())


def test_a_tls_request_goes_through_a_tunnel(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async with (
            serving(forever, tls=authority.server("api.example.com")) as server,
            serving(tunnelling(server.port)) as proxy,
        ):
            client = HttpClient(
                "https://api.example.com:8443",
                environ={"HTTPS_PROXY": f"http://me:pw@127.0.0.1:{proxy.port}"},
                tls=authority.client(),
            )
            assert await ask(client) == b"ok"
            request = proxy.requests[0]
            assert request.lines[0] == b"CONNECT api.example.com:8443 HTTP/1.1"
            assert request.header(b"proxy-authorization") == b"Basic bWU6cHc="
            assert server.requests[0].header(b"proxy-authorization") is None
            assert server.requests[0].header(b"host") == b"api.example.com:8443"

    run(main())


def test_a_proxy_may_itself_speak_tls(run: Run, authority: Authority) -> None:
    async def main() -> None:
        proxy_tls = authority.server("127.0.0.1")
        async with (
            serving(forever, tls=authority.server("api.example.com")) as server,
            serving(tunnelling(server.port), tls=proxy_tls) as proxy,
        ):
            client = HttpClient("https://api.example.com", proxy=proxy.url, tls=authority.client())
            assert await ask(client) == b"ok"
        async with serving(forever, tls=proxy_tls) as proxy:
            client = HttpClient("http://api.example.com", proxy=proxy.url, tls=authority.client())
            assert await ask(client) == b"ok"
            assert proxy.requests[0].lines[0] == b"POST http://api.example.com/v1/x HTTP/1.1"

    run(main())


def test_this_machine_is_reached_without_the_proxy(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url, environ={"ALL_PROXY": f"http://127.0.0.1:{free_port()}"})
            assert await ask(client) == b"ok"
            asked = HttpClient(server.url, proxy=f"http://127.0.0.1:{free_port()}")
            with pytest.raises(NotConnected, match=r"proxy 127\.0\.0\.1"):
                await ask(asked)

    run(main())


async def hang_up(peer: Peer) -> None:
    await peer.request()


def replying(reply: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)
        await peer.gone()

    return script


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            replying(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"),
            "wants a login",
        ),
        (replying(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\ndenied"), r"would not connect.*403"),
        (replying(b"SSH-2.0-Open\r\n"), "not HTTP"),
        (replying(b"HTTP/1.1 200 OK\r\n\r\nsurplus"), "would not connect|surplus"),
        (hang_up, "ended before an answer"),
    ],
)
def test_a_proxy_that_does_not_connect_is_named(run: Run, script: Script, message: str) -> None:
    async def main() -> None:
        async with serving(script) as proxy:
            client = HttpClient(
                "https://api.example.com", environ={"all_proxy": f"me:geheim@127.0.0.1:{proxy.port}"}
            )
            with pytest.raises(ProxyRefused, match=message) as caught:
                await ask(client)
            assert f"proxy 127.0.0.1:{proxy.port}" in str(caught.value)
            assert "geheim" not in f"{caught.value}{caught.value.hint}"

    run(main())


def test_a_proxy_that_says_nothing_is_a_connect_timeout(run: Run) -> None:
    async def main() -> None:
        async with serving(silence) as proxy:
            client = HttpClient("https://api.example.com", proxy=proxy.url, connect_timeout=0.05)
            with pytest.raises(ProviderTimeout, match="no connection within"):
                await ask(client)

    run(main())


def test_a_socks_proxy_is_an_error_of_the_request_not_of_the_start(run: Run) -> None:
    client = HttpClient("https://api.example.com", environ={"ALL_PROXY": "socks5://127.0.0.1:1080"})

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ProxyRefused, match="socks5 proxy can't be used"):
                await client.request("GET", "/")

    run(main())
