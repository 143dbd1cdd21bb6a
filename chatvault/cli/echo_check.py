"""One request through the running gateway, answered by `echo`: the whole way, for free."""

import json
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from chatvault.core.check import Check

_WORDS = "every door opens"
_SECONDS = 10.0


def ask_echo(base_url: str, secret: str) -> Check:
    """Ask the gateway at `base_url` with the access token `secret` and compare the answer."""
    url = urlsplit(base_url)
    connection = _connection(url.scheme, url.hostname or "127.0.0.1", url.port)
    body = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": _WORDS}]})
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    started = time.monotonic()
    try:
        connection.request("POST", f"{url.path.rstrip('/')}/chat/completions", body, headers)
        response = connection.getresponse()
        status, answer = response.status, response.read()
    except (OSError, HTTPException) as exc:
        return Check("Gateway", "fail", f"{base_url} does not answer: {exc}", "look at the daemon's log")
    finally:
        connection.close()
    milliseconds = (time.monotonic() - started) * 1000
    if status != 200:
        return Check(
            "Gateway", "fail", f"{base_url} answers {status}: {_message(answer)}", "look at the daemon's log"
        )
    if _said(answer) != _WORDS:
        return Check(
            "Gateway", "fail", f"{base_url} gave echo's words back changed", "look at the daemon's log"
        )
    return Check("Gateway", "pass", f"{base_url} answers, echo in {milliseconds:.0f} ms")


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme != "https":
        return HTTPConnection(host, port, timeout=_SECONDS)
    # The daemon named this address over its own socket; its certificate names the address devices use.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def _said(answer: bytes) -> object:
    try:
        return json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return "without a reason"
