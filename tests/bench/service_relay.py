"""A relay on loopback, asyncssh's own server: `python -m tests.bench.service_relay AUTHORIZED_KEYS HOST_KEY`.

It prints the port it listens on.
"""

import asyncio
import sys

import asyncssh

from tests.bench.report import say


class _Server(asyncssh.SSHServer):
    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True


async def _main(allowed: str, host_key: str) -> None:
    acceptor = await asyncssh.create_server(
        _Server,
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=allowed,
        encoding=None,
    )
    say(str(acceptor.get_port()))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
