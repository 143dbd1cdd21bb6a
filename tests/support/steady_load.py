"""A steady load, and what became of it. Arguments: URL SECRET MODEL RATE SECONDS [stream | FILE].

Each request is a connection of its own, as a program makes it that asks now and then. Once there is FILE it
asks no more. Prints one JSON object.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from urllib.parse import urlsplit


async def _one(url: str, secret: str, model: str, *, is_streamed: bool) -> str:
    """Ask once, and return the outcome in a word."""
    where = urlsplit(url)
    body = json.dumps(
        {"model": model, "stream": is_streamed, "messages": [{"role": "user", "content": "one two three"}]}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except ConnectionRefusedError:
        return "refused"
    try:
        writer.write(head.encode() + body)
        answer = await reader.read(-1)
    except ConnectionError as exc:
        return type(exc).__name__
    finally:
        writer.close()
    if not answer:
        return "empty"
    status = answer.split(b" ", 2)[1].decode()
    if is_streamed and status == "200":
        return "done" if b"data: [DONE]" in answer else "cut"
    return status


async def _run(
    url: str, secret: str, model: str, rate: float, seconds: float, *, is_streamed: bool, end: str
) -> None:
    tasks = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        if end and os.path.exists(end):
            break
        tasks.append(asyncio.ensure_future(_one(url, secret, model, is_streamed=is_streamed)))
    outcomes = Counter(await asyncio.gather(*tasks))
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    _url, _secret, _model, _rate, _seconds, *_rest = sys.argv[1:]
    _is_streamed = _rest == ["stream"]
    _end = "" if _is_streamed else "".join(_rest)
    asyncio.run(
        _run(_url, _secret, _model, float(_rate), float(_seconds), is_streamed=_is_streamed, end=_end)
    )
