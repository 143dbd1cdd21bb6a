"""Prompts and answers of access tokens that ask for it are kept, encrypted; of others, nothing."""

import pytest

from tests.support.clients import ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, refusal, settings
from tests.support.scripted import Upstream

_PROMPT = "the marmot sleeps under the stairs"


def _kept(daemon: Daemon) -> set[str]:
    return {row["request_id"] for row in daemon.query("SELECT request_id FROM content")}


@pytest.mark.parametrize(
    ("option", "default", "keeps_ok", "keeps_errors"),
    [
        ((), "off", False, False),
        (("--content", "errors"), "off", False, True),
        (("--content", "full"), "off", True, True),
        ((), "errors", False, True),
        (("--content", "off"), "full", False, False),
    ],
)
def test_what_is_kept_is_what_was_asked_for(
    serve: Serve,
    upstream: Upstream,
    option: tuple[str, ...],
    default: str,
    keeps_ok: bool,
    keeps_errors: bool,
) -> None:
    daemon = serve({**settings(upstream.url), "audit": {"content": default}})
    secret = daemon.add_token("phone", *option)
    whole, streamed = (
        ask(daemon.url, secret, chat(MODEL, _PROMPT, stream=stream)).id for stream in (False, True)
    )
    upstream.script = refusal(400, "not like this")
    failed = ask(daemon.url, secret, chat(MODEL, _PROMPT)).id
    refused = ask(daemon.url, secret, chat(MODEL, _PROMPT, temperature="hot")).id
    daemon.wait_for_rows(4)
    wanted = ({whole, streamed} if keeps_ok else set()) | ({failed, refused} if keeps_errors else set())
    assert _kept(daemon) == wanted
    if keeps_ok:
        for request_id in (whole, streamed):
            content = daemon.json("usage", "show", request_id, "--content")["content"]
            assert _PROMPT in content["request"] and "three" in content["answer"]
    if keeps_errors:
        assert "not like this" in daemon.json("usage", "show", failed, "--content")["content"]["answer"]
    else:
        assert daemon.run("usage", "show", failed, "--content").returncode == 1
    daemon.json("audit", "verify", "--full")
    daemon.stop()
    for path in daemon.home.rglob("*"):
        assert not path.is_file() or _PROMPT.encode() not in path.read_bytes(), path
