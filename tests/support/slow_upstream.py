"""A provider in OpenAI's shape that streams WORDS words on PORT, with PAUSE seconds after each."""

import asyncio
import sys

from tests.support.openai_shape import DONE, chunk, usage_chunk


async def _serve(port: int, words: int, pause: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = (
                int(head.split("content-length:")[1].split("\r\n")[0]) if "content-length:" in head else 0
            )
            await reader.readexactly(length)
            if head.startswith("get"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n"
                )
                writer.write(b'{"data":[]}')
            else:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                )
                for number in range(words):
                    writer.write(chunk(f"word{number} "))
                    await writer.drain()
                    await asyncio.sleep(pause)
                writer.write(chunk(finish="stop") + usage_chunk() + DONE)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
