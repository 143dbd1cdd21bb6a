"""What must not be found afterwards: prompts, answers, keys, secrets; and who may open the files."""

import stat
from pathlib import Path

import pytest

from tests.support.clients import ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, UPSTREAM_KEY, settings, streamed, whole
from tests.support.scripted import Upstream

_PROMPT, _ANSWER = "the marmot sleeps under the stairs", "it has slept since October"


@pytest.fixture
def used(serve: Serve, upstream: Upstream) -> Daemon:
    """A daemon that has served, refused and stopped."""
    upstream.script = lambda seen: streamed([_ANSWER]) if seen.json.get("stream") else whole(_ANSWER)
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token("marmot-phone")
    for stream in (True, False):
        assert ask(daemon.url, secret, chat(MODEL, _PROMPT, stream=stream)).text == _ANSWER
    ask(daemon.url, secret, chat(MODEL, _PROMPT, temperature="hot"))
    ask(daemon.url, secret[:-1] + "!", chat(MODEL, _PROMPT))
    daemon.stop()
    return daemon


def _everything_written(daemon: Daemon) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in daemon.home.rglob("*") if path.is_file()}


def test_no_prompt_and_no_answer_is_written_anywhere(used: Daemon) -> None:
    for path, content in _everything_written(used).items():
        assert _PROMPT.encode() not in content, path
        assert _ANSWER.encode() not in content, path


def test_no_secret_is_written_but_where_its_owner_put_it(used: Daemon) -> None:
    for path, content in _everything_written(used).items():
        assert used.secrets[-1].encode() not in content, path
        if path.name != "config.yaml":
            assert UPSTREAM_KEY.encode() not in content, path


def test_a_request_makes_one_line_in_the_log(used: Daemon) -> None:
    lines = [line for line in used.log.splitlines() if "marmot-phone" in line and MODEL in line]
    assert len([line for line in lines if "200" in line]) == 2


def test_a_failed_login_is_logged_without_its_secret(used: Daemon) -> None:
    assert [line for line in used.log.splitlines() if "127.0.0.1" in line and "401" in line]
    assert used.secrets[-1][:20] not in used.log


def test_files_are_for_their_owner_alone(used: Daemon) -> None:
    for path in used.home.rglob("*"):
        if path.name == "serve.log":
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o077 == 0, f"{path} is {mode:o}"


def test_the_control_socket_is_for_its_owner_alone(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    sockets = [path for path in daemon.home.rglob("*") if path.is_socket()]
    assert sockets
    for path in sockets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
