"""Clients of a gateway: one reads every kind of answer, one leaves when it likes, one is the official one."""

import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import openai

Json = dict[str, Any]
# All servers of the tests speak plain HTTP; without this, httpx reads the system's certificates every time.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LOGIN = "authorization"


def chat(model: str, text: str = "Say hello.", **fields: Any) -> Json:
    """A chat request's body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


@dataclass
class Heard:
    """All of an answer, read by the letter of OpenAI's format."""

    status: int
    headers: httpx.Headers
    body: bytes
    events: list[Any] = field(default_factory=list)
    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None
    usage: Json | None = None
    error: Json | None = None
    is_done: bool = False

    @property
    def id(self) -> str:
        """The gateway's id of the request, which is the ledger's."""
        return self.headers["x-request-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def new_client() -> httpx.Client:
    """A client that keeps its connections; close it, or use it in a `with`."""
    return httpx.Client(verify=NO_TLS)


def ask(
    url: str,
    secret: str | None,
    body: Any,
    *,
    timeout: float = 30.0,
    client: httpx.Client | None = None,
    **headers: str,
) -> Heard:
    """Send a chat request and read the answer, streamed or not; without `client` on a fresh connection."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if secret is not None:
        sent[LOGIN] = f"Bearer {secret}"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent.setdefault("content-type", "application/json")
    path = f"{url}/v1/chat/completions"
    if client is not None:
        return read(client.post(path, content=content, headers=sent, timeout=timeout))
    return read(httpx.post(path, content=content, headers=sent, timeout=timeout, verify=NO_TLS))


def read(reply: httpx.Response) -> Heard:
    """Read an answer that has arrived whole."""
    heard = Heard(reply.status_code, reply.headers, reply.content)
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        heard.events = sse_events(reply.content)
        calls: dict[int, list[str]] = {}
        for event in heard.events:
            if event == "[DONE]":
                heard.is_done = True
            elif "error" in event:
                heard.error = event["error"]
            else:
                _take_chunk(heard, event, calls)
        heard.tools = [(name, arguments) for _, (name, arguments) in sorted(calls.items())]
    elif reply.content:
        _take_whole(heard, json.loads(reply.content))
    return heard


def sse_events(body: bytes) -> list[Any]:
    """Read server-sent events that have arrived whole: JSON, and `[DONE]` as text."""
    found: list[Any] = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            payload = "\n".join(lines)
            found.append(payload if payload == "[DONE]" else json.loads(payload))
    return found


def _take_chunk(heard: Heard, chunk: Json, calls: dict[int, list[str]]) -> None:
    assert not heard.is_done, "an event after [DONE]"
    if chunk.get("usage") is not None:
        heard.usage = chunk["usage"]
    for choice in chunk["choices"]:
        delta = choice["delta"]
        heard.text += delta.get("content") or ""
        heard.reasoning += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or []:
            known = calls.setdefault(call["index"], ["", ""])
            known[0] += call["function"].get("name") or ""
            known[1] += call["function"].get("arguments") or ""
        heard.finish = choice.get("finish_reason") or heard.finish


def _take_whole(heard: Heard, answer: Json) -> None:
    heard.error = answer.get("error")
    heard.usage = answer.get("usage")
    for choice in answer.get("choices") or []:
        message = choice["message"]
        heard.text += message.get("content") or ""
        heard.reasoning += message.get("reasoning_content") or ""
        heard.tools += [
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or []
        ]
        heard.finish = choice["finish_reason"]


class Caller:
    """A client on a bare socket: it sends what it likes, reads as it likes, and leaves when it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.heard = b""

    def send(
        self,
        body: Any = b"",
        *,
        secret: str | None = None,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        headers: Sequence[tuple[str, str]] | Mapping[str, str] = (),
        length: int | None = None,
    ) -> Self:
        """Send a request; `length` claims another length than the body has."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.socket.getpeername()[1]}"]
        if secret is not None:
            lines.append(f"{LOGIN}: Bearer {secret}")
        lines += [f"content-length: {len(content) if length is None else length}"]
        named = headers.items() if isinstance(headers, Mapping) else headers
        lines += ["content-type: application/json", *(f"{name}: {value}" for name, value in named)]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        return self

    def read_until(self, mark: bytes, *, seconds: float = 20.0) -> bytes:
        """Read until `mark` has come; returns all that was heard so far."""
        self.socket.settimeout(seconds)
        while mark not in self.heard:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ended before {mark!r}: {self.heard!r}"
            self.heard += piece
        return self.heard

    def read_to_end(self, *, seconds: float = 20.0) -> bytes:
        """Read until the other side closes."""
        self.socket.settimeout(seconds)
        try:
            while piece := self.socket.recv(65536):
                self.heard += piece
        except ConnectionResetError:
            pass
        return self.heard

    @property
    def status(self) -> int:
        return int(self.heard.split(b" ", 2)[1])

    def leave(self) -> float:
        """Go away at once; returns when."""
        self.socket.close()
        return time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def official(url: str, secret: str) -> openai.OpenAI:
    """The official Python client; close it, or use it in a `with`."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0, timeout=60)
