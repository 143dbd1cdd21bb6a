"""The daemon's tunnel and its settings: what a reload makes of it, and what people have said of it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatvault.config.places import find_places
from chatvault.config.settings import ServerSettings, Settings, TlsSettings, TunnelSettings
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.tunnel_task import TunnelTask
from chatvault.errors import ChatVaultError, ConfigError
from chatvault.gateway.tls import Certificates
from chatvault.providers.base import ProviderSettings
from chatvault.tunnel.probe import Identity
from tests.support.certificates import Authority
from tests.support.databases import opened
from tests.support.ports import free_port
from tests.support.ssh_server import SshHost, ssh_host
from tests.support.waiting import until

AnySettings = Settings[ProviderSettings]


class House:
    """A daemon's tunnel, with the SSH server its settings name."""

    def __init__(self, task: TunnelTask, host: SshHost, server: HttpServer, folder: Path) -> None:
        self.task = task
        self.host = host
        self.server = server
        self.folder = folder

    @property
    def state(self) -> object:
        return self.task.status()["state"]

    async def reload(self, settings: AnySettings) -> str | None:
        """Have the tunnel follow; return what was done, in a word."""
        step = await self.task.prepare(settings)
        step.take()
        return step.effect

    async def reach(self, state: str) -> None:
        await until(lambda: self.state == state)

    async def say(self, word: str) -> object:
        """Do what `chatvault tunnel up` and `down` do; return the state after that."""
        return (await self.task.routes()["POST", f"/v1/tunnel/{word}"]({}))["state"]


def _settings(there: SshHost, /, *, server: ServerSettings | None = None, **tunnel: Any) -> AnySettings:
    of_tunnel: dict[str, Any] = {
        "enabled": True,
        "host": "127.0.0.1",
        "port": there.port,
        "user": "relay",
        "remote_bind": "127.0.0.1",
        "remote_port": there.relay.public_port,
        "allow_plain_http": True,
        **tunnel,
    }
    return Settings(path=Path("/c"), server=server or ServerSettings(), tunnel=TunnelSettings(**of_tunnel))


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def _house(folder: Path, **tunnel: Any) -> AsyncIterator[House]:
    server, tasks = HttpServer(_app, []), set[asyncio.Task[None]]()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        tasks.add(task)
        return task

    async with ssh_host(folder) as host:
        with opened(folder / "chatvault.db") as store:
            task = TunnelTask(
                _settings(host, **tunnel),
                find_places({"CHATVAULT_HOME": str(folder)}, is_root=False),
                store,
                server=server,
                admit=lambda address: True,
                cut=lambda doorway: None,
                identity=Identity(b"k" * 32),
                spawn=spawn,
            )
            running = spawn(task.run(), "tunnel")
            try:
                yield House(task, host, server, folder)
            finally:
                running.cancel()
                await asyncio.wait(tasks)
                await task.note_end()


def _with(folder: Path, body: Callable[[House], Coroutine[Any, Any, None]], **tunnel: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), _house(folder, **tunnel) as house:
            await body(house)

    asyncio.run(main())


def _audit(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    with sqlite3.connect(folder / "chatvault.db") as connection:
        rows = connection.execute("SELECT kind, body FROM audit ORDER BY seq").fetchall()
    connection.close()
    return [(kind, json.loads(body)) for kind, body in rows]


def test_settings_that_say_the_same_do_nothing(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        assert await house.reload(_settings(house.host)) is None
        assert await house.reload(_settings(house.host, server=ServerSettings(drain_seconds=1.0))) is None
        assert (house.state, house.task.status()["reconnects"]) == ("up", 0)

    _with(tmp_path, body)


def test_another_port_has_the_tunnel_replaced_and_the_audit_says_so(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        port = free_port()
        assert await house.reload(_settings(house.host, remote_port=port)) == "replaced"
        await until(lambda: house.state == "up" and house.task.status()["reconnects"] == 1)
        assert house.task.status()["public_url"] == f"http://127.0.0.1:{port}"
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    _with(tmp_path, body)
    relay = _audit(tmp_path)[0][1]["relay"]
    assert relay.startswith("relay@[127.0.0.1]:")
    assert [(kind, body.get("state"), body.get("reason")) for kind, body in _audit(tmp_path)] == [
        ("tunnel.up", None, None),
        ("tunnel.down", "connecting", "the settings have changed"),
        ("tunnel.up", None, None),
        ("tunnel.down", "off", "the daemon stops"),
    ]


def test_it_is_opened_and_closed_as_the_file_says(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("off")
        assert await house.reload(_settings(house.host)) == "opened"
        await house.reach("up")
        assert await house.reload(_settings(house.host, enabled=False)) == "closed"
        await house.reach("off")
        assert house.task.status()["reason"] == "the settings have changed"

    _with(tmp_path, body, enabled=False)


def test_a_relay_that_is_named_only_later_is_taken_up_and_one_that_is_taken_out_is_left(
    tmp_path: Path,
) -> None:
    async def body(house: House) -> None:
        assert "name no relay" in str(house.task.status()["reason"])
        with pytest.raises(ConfigError, match="name no relay"):
            await house.say("up")
        assert await house.reload(_settings(house.host)) == "opened"
        await house.reach("up")
        assert await house.reload(_settings(house.host, enabled=False, host=None)) == "closed"
        assert (house.state, house.task.status()["relay"]) == ("off", None)
        await until(lambda: all(each.is_closed() for each in house.host.connections))
        assert await house.reload(_settings(house.host)) == "opened"
        await house.reach("up")

    _with(tmp_path, body, enabled=False, host=None)


def test_what_people_said_holds_until_the_file_says_something_else(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        assert await house.say("down") == "off"
        port = free_port()
        assert await house.reload(_settings(house.host, remote_port=port)) is None
        assert house.state == "off"
        assert await house.reload(_settings(house.host, remote_port=port, enabled=False)) is None
        assert await house.say("up") == "up"
        other = free_port()
        assert await house.reload(_settings(house.host, remote_port=other, enabled=False)) == "replaced"
        await until(lambda: house.state == "up" and house.task.status()["reconnects"] == 2)
        assert house.task.status()["public_url"] == f"http://127.0.0.1:{other}"

    _with(tmp_path, body)


def test_a_relay_whose_key_is_not_pinned_is_refused_and_the_old_link_stays(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        for wrong, why in (
            ({"host": "192.0.2.7"}, r"tunnel: no host key of \[192\.0\.2\.7\]"),
            ({"jump": ("me@192.0.2.8",)}, r"no host key of 192\.0\.2\.8 is pinned"),
        ):
            with pytest.raises(ConfigError, match=why) as caught:
                await house.task.prepare(_settings(house.host, **wrong))
            assert "tunnel setup" in (caught.value.hint or "")
        assert (house.state, house.task.status()["reconnects"]) == ("up", 0)
        # Where nobody wants it yet there is time to pin it.
        assert await house.reload(_settings(house.host, enabled=False, host="192.0.2.7")) == "closed"

    _with(tmp_path, body)


def test_a_missing_key_is_told_before_the_old_link_ends(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        (tmp_path / "ssh" / "id_ed25519").unlink()
        with pytest.raises(ConfigError, match="id_ed25519 is missing"):
            await house.task.prepare(_settings(house.host, user="other"))
        assert house.state == "up"

    _with(tmp_path, body)


def test_a_word_that_is_taken_back_closes_it(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("up")
        assert await house.reload(_settings(house.host, allow_plain_http=False)) == "closed"
        await house.reach("failed")
        assert "without TLS" in str(house.task.status()["reason"])
        assert await house.reload(_settings(house.host)) == "opened"
        await house.reach("up")

    _with(tmp_path, body)


@pytest.mark.parametrize("is_there", [True, False])
def test_once_the_daemon_stops_nothing_is_opened_by_anybody(tmp_path: Path, is_there: bool) -> None:
    async def body(house: House) -> None:
        await house.reach("off")
        house.task.stop_accepting()
        assert await house.reload(_settings(house.host)) is None
        with pytest.raises(ChatVaultError, match="is stopping"):
            await house.say("up")
        await asyncio.sleep(0.1)
        assert (house.state, house.host.connections) == ("off", [])

    host = {} if is_there else {"host": None}
    _with(tmp_path, body, enabled=False, **host)


def test_a_certificate_lets_a_tunnel_come_up_that_waited_for_one(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.reach("failed")
        Authority(tmp_path).server("127.0.0.1")
        pem = tmp_path / "127.0.0.1.pem"
        server = ServerSettings(tls=TlsSettings(cert=pem, key=pem))
        house.server.use(Certificates(pem, pem))
        assert await house.reload(_settings(house.host, allow_plain_http=False, server=server)) == "opened"
        await house.reach("up")
        assert str(house.task.status()["public_url"]).startswith("https://127.0.0.1:")
        # Its outside check dials what is served now.
        await until(lambda: house.task.status()["outside"] is not None)
        # The name is free for another; the link knows nothing of it.
        named = replace(server, public_url="https://vault.example.org/v1/")
        settings = _settings(house.host, allow_plain_http=False, server=named)
        assert await house.reload(settings) is None
        assert (house.state, house.task.status()["reconnects"]) == ("up", 0)
        assert house.task.status()["public_url"] == "https://vault.example.org"

    _with(tmp_path, body, allow_plain_http=False)
