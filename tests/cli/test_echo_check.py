"""The echo request, against servers that answer it rightly and wrongly."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chatvault.cli.echo_check import ask_echo


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["authorization"] == "Bearer cvk_x"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "outcome", "detail"),
    [
        (200, completion("every door opens"), "pass", "echo in"),
        (200, completion("something else"), "fail", "changed"),
        (200, b"oops", "fail", "changed"),
        (503, b'{"error": {"message": "no room"}}', "fail", "503: no room"),
        (500, b"oops", "fail", "without a reason"),
    ],
)
def test_only_the_same_words_pass(status: int, body: bytes, outcome: str, detail: str) -> None:
    with answering(status, body) as url:
        found = ask_echo(url, "cvk_x")

    assert found.status == outcome
    assert detail in found.detail


def test_nobody_there_fails() -> None:
    found = ask_echo("http://127.0.0.1:1/v1", "cvk_x")

    assert found.status == "fail"
    assert "does not answer" in found.detail
