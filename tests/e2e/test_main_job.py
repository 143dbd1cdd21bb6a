"""The main job from one end to the other: serve, ask, and read what was used."""

import pytest

from tests.support.clients import ask, chat, official
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import COST_PICOUSD, INPUT_TOKENS, MODEL, OUTPUT_TOKENS, settings
from tests.support.ports import free_port
from tests.support.scripted import Upstream


@pytest.fixture
def first(serve: Serve) -> Daemon:
    """The program's very first start: no settings, nothing there."""
    return serve(None)


def test_the_first_start_writes_settings_that_serve(first: Daemon) -> None:
    assert (first.home / "config.yaml").stat().st_mode & 0o777 == 0o600
    first.wait_for_log("config.yaml")
    secret = first.add_token()
    with official(first.url, secret) as client:
        assert "echo/echo" in [model.id for model in client.models.list()]


def test_the_official_client_gets_whole_and_streamed_answers(first: Daemon) -> None:
    with official(first.url, first.add_token()) as client:
        messages = [{"role": "user", "content": "one two  three"}]
        whole = client.chat.completions.create(model="echo/echo", messages=messages)  # type: ignore[call-overload]
        assert whole.choices[0].message.content == "one two  three"
        assert whole.choices[0].finish_reason == "stop"
        stream = client.chat.completions.create(  # type: ignore[call-overload]
            model="echo/echo", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two  three"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0


def test_usage_lists_what_was_asked_and_the_chain_holds(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token("phone", "--user", "ada")
    for _ in range(3):
        assert ask(daemon.url, secret, chat(MODEL)).status == 200
    heard = ask(daemon.url, secret, chat(MODEL, stream=True))
    assert ask(daemon.url, secret, chat("echo/echo")).status == 200
    rows = daemon.wait_for_rows(5)

    report = daemon.json("usage", "--since", "7d", "--by", "model")
    assert {row["model"]: row["requests"] for row in report["rows"]} == {MODEL: 4, "echo/echo": 1}
    paid = next(row for row in report["rows"] if row["model"] == MODEL)
    assert paid["cost_picousd"] == 4 * COST_PICOUSD
    assert paid["cost_usd"] == "0.0001"
    assert (paid["input_tokens"], paid["output_tokens"]) == (4 * INPUT_TOKENS, 4 * OUTPUT_TOKENS)
    assert report["total"]["requests"] == 5
    assert {row["user_id"] for row in rows} == {"ada"}

    shown = daemon.json("usage", "show", heard.id)
    assert heard.id in str(shown)
    verdict = daemon.json("audit", "verify", "--full")
    assert verdict["ok"] and verdict["first_bad"] is None and verdict["entries"] >= 5
    view = daemon.query(
        "SELECT timestamp, user_id, model_name, input_tokens, output_tokens, cost FROM usage_log"
    )
    assert len(view) == 5


def test_usage_and_audit_work_with_the_daemon_down(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    assert ask(daemon.url, daemon.add_token(), chat(MODEL)).status == 200
    daemon.stop()
    assert daemon.json("usage", "--since", "7d")["total"]["requests"] == 1
    assert daemon.json("audit", "verify")["ok"]
    done = daemon.run("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error:") and "\nTry:" in done.stderr
    secret = daemon.add_token("second")
    daemon.start()
    assert ask(daemon.url, secret, chat(MODEL)).status == 200


def test_doctor_finds_a_healthy_gateway_healthy(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    report = daemon.json("doctor")
    assert report["ok"], [check for check in report["checks"] if check["status"] == "fail"]
    assert daemon.json("status")["ledger"] == {"queued_writes": 0, "defects": 0}
    assert daemon.ledger() == [], "what doctor asks makes no rows"


def test_a_second_serve_is_refused(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    done = daemon.run("serve", "--port", str(free_port()))
    assert done.returncode == 6
    assert done.stderr.startswith("Error:") and "\nTry:" in done.stderr


def test_every_request_of_a_valid_token_makes_one_row(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    answers = [
        ask(daemon.url, secret, chat(MODEL)),
        ask(daemon.url, secret, chat("no/such")),
        ask(daemon.url, secret, {"model": MODEL}),
        ask(daemon.url, secret, b"{not json"),
        ask(daemon.url, secret, chat(MODEL, api_base="http://evil.example")),
    ]
    assert [answer.status for answer in answers] == [200, 404, 400, 400, 400]
    rows = {row["id"]: row for row in daemon.wait_for_rows(5)}
    assert set(rows) == {answer.id for answer in answers}
    for answer in answers[1:]:
        row = rows[answer.id]
        assert (row["status"], row["http_status"], row["cost_picousd"]) == ("refused", answer.status, 0)
    assert len(upstream.calls) == 1
    assert ask(daemon.url, "cvk_" + "0" * 38, chat(MODEL)).status == 401
    assert len(daemon.ledger()) == 5, "a request without a valid access token makes no row"
