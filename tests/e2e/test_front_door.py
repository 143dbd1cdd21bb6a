"""What the gateway does before it knows who asks, and with what it can't serve."""

import json

import httpx
import pytest

from tests.support.clients import Caller, ask, chat, new_client
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, settings
from tests.support.scripted import Upstream


@pytest.fixture
def daemon(serve: Serve, upstream: Upstream) -> Daemon:
    return serve(settings(upstream.url, server={"max_body_bytes": 100_000}))


def test_health_tells_nothing_but_ok(daemon: Daemon) -> None:
    reply = httpx.get(f"{daemon.url}/health")
    assert reply.json() == {"status": "ok"}
    assert httpx.get(daemon.url).status_code == httpx.head(daemon.url).status_code == 200


@pytest.mark.parametrize("secret", [None, "", "nonsense", "cvk_" + "0" * 38])
def test_401_comes_before_the_body_and_looks_the_same_for_all(daemon: Daemon, secret: str | None) -> None:
    with Caller(daemon.port) as caller:
        caller.send(secret=secret, length=90_000)
        heard = caller.read_until(b"}}")
    head, _, body = heard.partition(b"\r\n\r\n")
    headers = httpx.Headers([tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:]])
    assert caller.status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert headers["x-should-retry"] == "false"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "invalid_api_key"


def test_an_expired_and_a_revoked_token_look_like_an_unknown_one(daemon: Daemon) -> None:
    revoked = daemon.add_token("old")
    assert daemon.run("tokens", "revoke", "old").returncode == 0
    unknown = ask(daemon.url, "cvk_" + "0" * 38, chat(MODEL))
    assert ask(daemon.url, revoked, chat(MODEL)).json == unknown.json


def test_x_api_key_opens_too(daemon: Daemon) -> None:
    assert ask(daemon.url, None, chat(MODEL), x_api_key=daemon.add_token()).status == 200


def test_a_body_that_says_it_is_too_large_is_refused_unread(daemon: Daemon) -> None:
    with Caller(daemon.port) as caller:
        caller.send(secret=daemon.add_token(), length=100_001)
        heard = caller.read_until(b"}}")
    assert caller.status == 413
    assert b"request_too_large" in heard


def test_a_body_that_grows_too_large_is_refused(daemon: Daemon) -> None:
    secret = daemon.add_token()

    def pieces() -> object:
        yield b'{"model": "'
        for _ in range(30):
            yield b"x" * 10_000

    try:
        reply = httpx.post(
            f"{daemon.url}/v1/chat/completions",
            content=pieces(),  # type: ignore[arg-type]
            headers={"authorization": f"Bearer {secret}"},
        )
    except httpx.WriteError:
        return  # the refusal came while we were still writing: that is as good
    assert reply.status_code == 413


def test_an_unknown_route_names_the_routes_there_are(daemon: Daemon) -> None:
    reply = httpx.get(f"{daemon.url}/v1/nowhere", headers={"authorization": f"Bearer {daemon.add_token()}"})
    assert reply.status_code == 404
    assert "/v1/chat/completions" in reply.json()["error"]["message"]


def test_any_base_url_that_a_client_makes_of_ours_works(daemon: Daemon) -> None:
    login = {"authorization": f"Bearer {daemon.add_token()}"}
    for path in ("/chat/completions", "//v1/chat/completions", "/v1//chat/completions/"):
        reply = httpx.post(f"{daemon.url}{path}", json=chat(MODEL), headers=login)
        assert reply.status_code == 200, path
    assert httpx.get(f"{daemon.url}//v1/models/", headers=login).json()["object"] == "list"


def test_head_is_get_without_the_body(daemon: Daemon) -> None:
    login = {"authorization": f"Bearer {daemon.add_token()}"}
    for path in ("/v1/models", f"/v1/models/{MODEL}", "/openapi.json", "/health"):
        with new_client() as client:
            told, asked = (
                client.head(f"{daemon.url}{path}", headers=login),
                client.get(f"{daemon.url}{path}", headers=login),
            )
        assert (told.status_code, told.content) == (200, b""), path
        assert told.headers["content-length"] == str(len(asked.content)), path
    assert httpx.head(f"{daemon.url}/v1/models").status_code == 401


def test_the_api_page_needs_a_token_and_there_is_no_docs_page(daemon: Daemon) -> None:
    assert httpx.get(f"{daemon.url}/openapi.json").status_code == 401
    login = {"authorization": f"Bearer {daemon.add_token()}"}
    page = httpx.get(f"{daemon.url}/openapi.json", headers=login).json()
    assert "/v1/chat/completions" in page["paths"]
    assert httpx.get(f"{daemon.url}/docs", headers=login).status_code == 404


def test_a_foreign_host_is_refused(daemon: Daemon) -> None:
    headers = {"host": "evil.example", "authorization": f"Bearer {daemon.add_token()}"}
    reply = httpx.get(f"{daemon.url}/v1/models", headers=headers)
    assert reply.status_code in (400, 403, 421)


def test_a_token_sees_and_uses_only_its_own_models(daemon: Daemon, upstream: Upstream) -> None:
    secret = daemon.add_token("narrow", "--models", "echo/*")
    login = {"authorization": f"Bearer {secret}"}
    listed = httpx.get(f"{daemon.url}/v1/models", headers=login).json()["data"]
    assert [model["id"] for model in listed] == ["echo/echo"]
    heard = ask(daemon.url, secret, chat(MODEL))
    assert heard.status == 403
    assert heard.json["error"]["code"] == "model_not_allowed"
    assert upstream.calls == []


def test_local_only_forbids_what_is_not_at_home(daemon: Daemon, upstream: Upstream) -> None:
    secret = daemon.add_token("home", "--local-only")
    assert ask(daemon.url, secret, chat("echo/echo")).status == 200
    assert ask(daemon.url, secret, chat(MODEL)).status == 403
    assert upstream.calls == []
