import asyncio

import pytest

import chatvault
from chatvault.errors import ConfigError
from chatvault.providers.http import HttpClient
from tests.providers.http.conftest import Run
from tests.support.scripted_server import Request, forever, serving


async def sent(url_suffix: str, method: str, path: str, **more: object) -> Request:
    """Return a request as the server saw it."""
    prefix, _, login = url_suffix.partition("@")
    async with serving(forever) as server:
        url = server.url.replace("//", f"//{login}@") if login else server.url
        client = HttpClient(url + prefix)
        answer = await client.request(method, path, **more)  # type: ignore[arg-type]
        await answer.read_all()
        await client.aclose()
        return server.requests[0]


def test_a_request_is_written_as_http_wants_it(run: Run) -> None:
    async def main() -> None:
        headers = [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")]
        request = await sent("/base/", "POST", "/v1/chat?a=b", headers=headers, body=b"{}")
        assert request.lines[0] == b"POST /base/v1/chat?a=b HTTP/1.1"
        assert (
            request.header(
                b"host",
            )
            is not None
        )
        assert request.header(b"accept-encoding") == b"identity"
        assert request.header(b"user-agent") == f"chatvault/{chatvault.__version__}".encode()
        assert request.header(b"authorization") == b"Bearer x"
        assert request.header(b"content-length") == b"2"
        assert request.body == b"{}"

    run(main())


@pytest.mark.parametrize(
    ("method", "length"), [("GET", None), ("HEAD", None), ("POST", b"0"), ("DELETE", None)]
)
def test_only_a_method_with_a_body_states_a_length(run: Run, method: str, length: bytes | None) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            answer = await client.request(method, "/")
            assert answer.status == 200
            assert server.requests[0].header(b"content-length") == length
            answer.close()
            await client.aclose()

    run(main())


def test_the_caller_may_name_its_own_agent_and_login(run: Run) -> None:
    async def main() -> None:
        headers = [(b"User-Agent", b"mine"), (b"Authorization", b"Bearer x")]
        request = await sent("@me:pw", "GET", "/", headers=headers)
        assert [line for line in request.lines if line.lower().startswith((b"user-agent", b"auth"))] == [
            b"User-Agent: mine",
            b"Authorization: Bearer x",
        ]
        request = await sent("@me:pw", "GET", "/")
        assert request.header(b"authorization") == b"Basic bWU6cHc="

    run(main())


def test_a_key_with_a_line_break_is_not_sent(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            with pytest.raises(ConfigError, match="authorization") as caught:
                await client.request("GET", "/", headers=[(b"authorization", b"Bearer geheim\n")])
            assert "geheim" not in f"{caught.value}{caught.value.hint}"
            assert not server.peers
            await client.aclose()

    run(main())


def test_a_client_may_be_made_and_closed_without_a_loop_or_a_request() -> None:
    asyncio.run(HttpClient("https://api.example.com").aclose())
