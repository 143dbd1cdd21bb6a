"""Faults of the machine, each against the running program: disk, clock, files, locks, kills.

After each one the invariants hold: every request once, the chain verifies, the ledger's sum is what the
provider billed, no hold is left.
"""

import os
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chatvault.store.migrations import MIGRATIONS
from tests.support.clients import Caller, Heard, ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.invariants import Books
from tests.support.openai_shape import COST_PICOUSD, MODEL, UPSTREAM_KEY, chunk, settings, streamed, whole
from tests.support.scripted import STALL, Answer, Seen, Step, Upstream, event_stream
from tests.support.small_disk import Filler, small_disk

_FIRST = chunk("one ")
_CLOCK = Path(__file__).parents[1] / "support" / "shifted_clock"


@pytest.fixture
def books(serve: Serve, upstream: Upstream) -> Books:
    daemon = serve(settings(upstream.url, timeout_seconds=5))
    daemon.add_token()
    return Books(daemon)


def _ask(books: Books, *, status: int = 200, model: str = MODEL, stream: bool = False) -> Heard:
    """Ask once; what is answered is billed."""
    daemon = books.daemon
    heard = ask(daemon.url, daemon.secrets[-1], chat(model, stream=stream, max_tokens=50), timeout=20)
    assert heard.status == status, heard.body[:500]
    books.ids.append(heard.id)
    if status == 200 and model == MODEL:
        books.billed_picousd += COST_PICOUSD
    return heard


def _fails_to_start(daemon: Daemon, *, code: int, saying: str) -> None:
    done = daemon.run("serve", "--port", str(daemon.port))
    assert done.returncode == code, done.stderr
    assert saying in done.stderr and "Try:" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


class TestKilled:
    """A process that is ended, however roughly, loses no request."""

    def test_in_the_middle_of_a_stream(self, books: Books, upstream: Upstream) -> None:
        upstream.script = lambda seen: event_stream(_FIRST, STALL)
        daemon = books.daemon
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, stream=True, max_tokens=50), secret=daemon.secrets[-1])
            caller.read_until(b"one ")
            books.ids.append(_id_in(caller.heard))
            daemon.kill()
        daemon.start()
        (row,) = books.check()
        assert (row["status"], row["cost_basis"]) == ("interrupted", "upper_bound")
        assert row["cost_picousd"] >= 50 * 2_000_000

    def test_while_a_request_waits_for_its_first_byte(self, books: Books, upstream: Upstream) -> None:
        upstream.script = lambda seen: Answer(before_headers=[STALL])
        daemon = books.daemon
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, max_tokens=50), secret=daemon.secrets[-1])
            upstream.wait_for_calls()
            books.ids += [row["id"] for row in daemon.query("SELECT id FROM hold")]
            daemon.kill()
        daemon.start()
        assert [row["status"] for row in books.check()] == ["interrupted"]

    def test_twice_in_a_row(self, books: Books, upstream: Upstream) -> None:
        _ask(books)
        books.daemon.wait_for_rows(1)
        for _ in range(2):
            books.daemon.kill()
            books.daemon.start()
        books.check()

    def test_while_a_backup_is_made(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        backup = subprocess.Popen(
            [*_command(), "backup", "create"],
            env=daemon.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.6)
        daemon.kill()
        assert backup.wait(60) in (0, 1, 3)
        daemon.start()
        for found in daemon.json("backup", "list")["backups"]:
            assert daemon.json("backup", "verify", found["path"])["ok"]
        books.check()

    def test_politely_with_a_stream_that_does_not_end(self, serve: Serve, upstream: Upstream) -> None:
        daemon = serve(settings(upstream.url, server={"drain_seconds": 0.3}, timeout_seconds=30))
        daemon.add_token()
        books = Books(daemon)
        upstream.script = lambda seen: event_stream(_FIRST, STALL)
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
            caller.read_until(b"one ")
            books.ids.append(_id_in(caller.heard))
            daemon.stop(seconds=30)
            assert b'"stopping"' in caller.read_to_end()
        (row,) = books.check()
        assert (row["status"], row["error_code"]) == ("cancelled", "stopping")


class TestDisk:
    """A disk that fills up stops what would cost money, before it is sent, and nothing else is lost."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        with small_disk(tmp_path / "disk", megabytes=64) as folder:
            yield folder

    def test_that_is_full(self, disk: Path, upstream: Upstream) -> None:
        ends = threading.Event()

        def answer(seen: Seen) -> Answer:
            if not seen.json.get("stream"):
                return whole()
            first, *rest = streamed().steps

            def slowly() -> Iterator[Step]:
                yield first
                while not ends.is_set():
                    yield 0.02
                yield from rest

            return Answer(slowly(), headers={"content-type": "text/event-stream"})

        upstream.script = answer
        with Daemon(
            disk / "home", settings(upstream.url, timeout_seconds=30), secrets=[UPSTREAM_KEY]
        ).start() as daemon:
            daemon.add_token()
            books = Books(daemon)
            _ask(books)
            streams = [Caller(daemon.port) for _ in range(5)]
            for caller in streams:
                caller.send(chat(MODEL, stream=True, max_tokens=50), secret=daemon.secrets[-1])
                caller.read_until(b"one ")
                books.ids.append(_id_in(caller.heard))
                books.billed_picousd += COST_PICOUSD
            filler = Filler(disk)
            filler.fill()
            sent_on = len(upstream.calls)
            refused = _until_refused(books)
            assert refused.json["error"]["code"] == "storage_full"
            assert "retry-after" in refused.headers
            before = len(upstream.calls)
            for _ in range(3):
                _ask(books, status=503)
            assert len(upstream.calls) == before >= sent_on

            ends.set()
            for caller in streams:
                assert b"[DONE]" in caller.read_until(b"0\r\n\r\n")
                caller.leave()
            settled = [row["id"] for row in daemon.ledger() if row["status"] == "ok"]
            deadline = time.monotonic() + 30
            while not set(books.ids[1:6]) <= set(settled):
                assert time.monotonic() < deadline, daemon.log
                time.sleep(0.05)
                settled = [row["id"] for row in daemon.ledger() if row["status"] == "ok"]

            filler.free()
            deadline = time.monotonic() + 60
            while (heard := ask(daemon.url, daemon.secrets[-1], chat(MODEL, max_tokens=50))).status == 503:
                books.ids.append(heard.id)
                assert time.monotonic() < deadline, daemon.log
                time.sleep(0.2)
            books.ids.append(heard.id)
            books.billed_picousd += COST_PICOUSD
            daemon.wait_for_rows(len(books.ids), seconds=20)
            books.check()

    def test_that_is_full_at_the_end(self, disk: Path, upstream: Upstream) -> None:
        daemon = Daemon(disk / "home", settings(upstream.url), secrets=[UPSTREAM_KEY]).start()
        daemon.add_token()
        books = Books(daemon)
        _ask(books)
        filler = Filler(disk)
        filler.fill()
        daemon.stop()
        filler.free()
        daemon.start()
        books.check()
        daemon.stop()

    def test_that_is_full_at_the_start(self, disk: Path, upstream: Upstream) -> None:
        daemon = Daemon(disk / "home", settings(upstream.url), secrets=[UPSTREAM_KEY]).start()
        daemon.add_token()
        daemon.stop()
        filler = Filler(disk)
        filler.fill()
        done = daemon.run("serve", "--port", str(daemon.port))
        assert done.returncode == 1 and "Try:" in done.stderr and "Traceback" not in done.stderr, done.stderr
        filler.free()
        books = Books(daemon.start())
        _ask(books)
        books.check()
        daemon.stop()


class TestDatabase:
    """A database that is locked, damaged, foreign or newer is left as it is."""

    def test_locked_by_another_program(self, books: Books) -> None:
        daemon = books.daemon
        other = sqlite3.connect(daemon.home / "chatvault.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        heard = _ask(books, status=503)
        assert heard.json["error"]["code"] == "storage_unavailable"
        other.execute("ROLLBACK")
        other.close()
        deadline = time.monotonic() + 45
        while (heard := ask(daemon.url, daemon.secrets[-1], chat(MODEL), timeout=20)).status != 200:
            books.ids.append(heard.id)
            assert time.monotonic() < deadline
        books.ids.append(heard.id)
        books.billed_picousd += COST_PICOUSD
        daemon.wait_for_rows(len(books.ids), seconds=30)
        books.check()

    def test_locked_while_a_request_ends(self, books: Books, upstream: Upstream) -> None:
        daemon = books.daemon
        upstream.script = lambda seen: streamed(["word "] * 20, pause=0.05)
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
            caller.read_until(b"word ")
            books.ids.append(_id_in(caller.heard))
            other = sqlite3.connect(daemon.home / "chatvault.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            assert b"[DONE]" in caller.read_until(b"0\r\n\r\n")
            assert daemon.ledger() == []
            other.execute("ROLLBACK")
            other.close()
        books.billed_picousd += COST_PICOUSD
        daemon.wait_for_rows(1, seconds=30)
        books.check()

    @pytest.mark.parametrize(
        ("damage", "saying"),
        [
            (lambda data: data.__setitem__(slice(0, 16), b"\0" * 16), "damaged"),
            (lambda data: data.__delitem__(slice(len(data) - 4096, None)), "damaged"),
            (lambda data: data.__setitem__(slice(4096 * 9, 4096 * 10), b"\xaa" * 4096), "damaged"),
        ],
        ids=["head", "cut off", "inside"],
    )
    def test_damaged(self, books: Books, damage: Callable[[bytearray], None], saying: str) -> None:
        _ask(books)
        daemon = books.daemon
        made = daemon.json("backup", "create")["path"]
        daemon.stop()
        path = daemon.home / "chatvault.db"
        data = bytearray(path.read_bytes())
        damage(data)
        path.write_bytes(data)
        _fails_to_start(daemon, code=1, saying=saying)
        assert "backup restore" in daemon.run("serve", "--port", str(daemon.port)).stderr
        assert path.read_bytes() == data
        daemon.json("backup", "restore", made, "--yes")
        daemon.start()
        books.check()

    def test_newer_than_the_program(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        daemon.stop()
        _set_version(daemon, MIGRATIONS[-1].number + 1)
        before = (daemon.home / "chatvault.db").read_bytes()
        _fails_to_start(daemon, code=1, saying="newer ChatVault")
        assert (daemon.home / "chatvault.db").read_bytes() == before
        _set_version(daemon, MIGRATIONS[-1].number)
        daemon.start()
        books.check()

    def test_another_programs(self, books: Books) -> None:
        daemon = books.daemon
        daemon.stop()
        path = daemon.home / "chatvault.db"
        path.rename(daemon.home / "mine")
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TABLE cookies (x)")
        _fails_to_start(daemon, code=1, saying="not a ChatVault database")
        path.unlink()
        (daemon.home / "mine").rename(path)
        daemon.start()
        _ask(books)
        books.check()

    def test_a_hold_left_beside_its_row(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        daemon.stop()
        with closing(sqlite3.connect(daemon.home / "chatvault.db")) as other, other:
            columns = (
                "id, started_at, user_id, token_id, client_ip, via, client, endpoint, model_name, provider"
            )
            other.execute(
                f"INSERT INTO hold({columns}, upstream_model, stream, ceiling_picousd, is_local)"
                f" SELECT {columns}, upstream_model, stream, 1, 0 FROM ledger"
            )
        daemon.start()
        books.check()


class TestFiles:
    """Files that are missing, foreign, open to others or left behind."""

    def test_a_second_daemon(self, books: Books) -> None:
        _ask(books)
        _fails_to_start(books.daemon, code=6, saying="another ChatVault")
        _ask(books)
        books.check()

    def test_a_port_that_is_taken(self, books: Books) -> None:
        daemon = books.daemon
        daemon.stop()
        with socket.create_server(("127.0.0.1", daemon.port)):
            _fails_to_start(daemon, code=1, saying="can't be listened on")
        daemon.start()
        _ask(books)
        books.check()

    def test_settings_broken_at_reload(self, books: Books) -> None:
        daemon = books.daemon
        good = (daemon.home / "config.yaml").read_text()
        (daemon.home / "config.yaml").write_text(good.replace("providers:", "provders:"))
        assert daemon.run("config", "reload").returncode == 2
        _ask(books)
        (daemon.home / "config.yaml").write_text(good)
        assert daemon.run("config", "reload").returncode == 0
        _ask(books)
        books.check()
        kinds = [row["kind"] for row in daemon.query("SELECT kind FROM audit ORDER BY seq")]
        assert kinds.count("config.rejected") == 1

    def test_settings_gone_at_reload(self, books: Books) -> None:
        daemon = books.daemon
        good = (daemon.home / "config.yaml").read_text()
        (daemon.home / "config.yaml").unlink()
        assert daemon.process
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        _ask(books)
        daemon.write_config(good)
        books.check()

    def test_a_control_socket_that_was_removed(self, books: Books) -> None:
        (books.daemon.home / "run" / "control.sock").unlink()
        assert books.daemon.run("status").returncode == 3
        _ask(books)
        books.check()

    def test_a_signing_key_that_is_damaged(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        daemon.stop()
        key = daemon.home / "keys" / "audit_key"
        kept = key.read_bytes()
        key.write_text("nonsense")
        daemon.start()
        _ask(books)
        books.check()
        assert daemon.run("audit", "checkpoint").returncode == 1
        daemon.kill()
        key.write_bytes(kept)
        daemon.start()
        assert daemon.json("audit", "checkpoint")["seq"] > 0
        books.check()

    def test_a_signing_key_that_was_lost(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        daemon.stop()
        (daemon.home / "keys" / "audit_key").unlink()
        daemon.start()
        _ask(books)
        books.check()
        assert len((daemon.home / "keys" / "allowed_signers").read_text().splitlines()) == 2

    def test_a_log_that_nobody_reads(self, upstream: Upstream, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path / "home", settings(upstream.url), secrets=[UPSTREAM_KEY])
        daemon.start()
        daemon.add_token()
        daemon.stop()
        books = Books(daemon)
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [*_command(), "serve", "--port", str(daemon.port)], env=daemon.env, stdout=writing, stderr=writing
        )
        os.close(writing)
        try:
            _wait_for_health(daemon)
            for _ in range(20):
                _ask(books)
            long = "m" * 250
            for _ in range(150):
                _ask(books, status=404, model=long)
            os.close(reading)
            _ask(books)
            books.check()
        finally:
            process.terminate()
            assert process.wait(30) == 0

    def test_too_few_open_files(self, upstream: Upstream, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path / "home", settings(upstream.url), secrets=[UPSTREAM_KEY])
        with daemon.start():
            daemon.add_token()
            books = Books(daemon)
            _ask(books)
            assert daemon.process
            before = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
            callers = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(12)]
            time.sleep(0.3)
            for caller in callers:
                caller.close()
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, before)
            deadline = time.monotonic() + 30
            while True:
                try:
                    _ask(books)
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < deadline
            books.check()

    def test_what_it_leaves_is_its_owners_alone(self, books: Books) -> None:
        _ask(books)
        daemon = books.daemon
        daemon.json("backup", "create")
        daemon.stop()
        for path in daemon.home.rglob("*"):
            if path.name in ("serve.log", "config.yaml") or path.is_symlink():
                continue
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


class TestClock:
    """A wall clock that jumps changes no duration, no order and no sum."""

    @pytest.mark.parametrize("seconds", [-86_400, -3, 3, 40 * 86_400])
    def test_that_is_set(self, serve: Serve, upstream: Upstream, tmp_path: Path, seconds: int) -> None:
        clock = tmp_path / "clock"
        clock.write_text("0")
        path = os.pathsep.join([str(_CLOCK), os.path.abspath(os.environ.get("PYTHONPATH") or ".")])
        config = settings(upstream.url)
        daemon = serve(config, env={"PYTHONPATH": path, "CHATVAULT_TEST_CLOCK": str(clock)})
        daemon.add_token()
        books = Books(daemon)
        _ask(books)
        upstream.script = lambda seen: streamed(["word "] * 10, pause=0.05)
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
            caller.read_until(b"word ")
            books.ids.append(_id_in(caller.heard))
            clock.write_text(str(seconds))
            caller.read_until(b"0\r\n\r\n")
        books.billed_picousd += COST_PICOUSD
        upstream.script = lambda seen: whole()
        _ask(books)
        rows = books.check()
        assert all(0 <= row["duration_ms"] < 10_000 for row in rows)
        daemon.stop()
        daemon.start()
        _ask(books)
        books.check()


class TestClients:
    """Clients that leave, lie or hurry."""

    def test_one_that_sends_half_a_body(self, books: Books) -> None:
        with Caller(books.daemon.port) as caller:
            caller.send(b'{"model": ', secret=books.daemon.secrets[-1], length=500)
            time.sleep(0.2)
        (row,) = books.daemon.wait_for_rows(1)
        books.ids.append(row["id"])
        assert row["status"] == "refused"
        books.check()

    def test_one_that_leaves_before_the_first_byte(self, books: Books, upstream: Upstream) -> None:
        upstream.script = lambda seen: Answer(before_headers=[STALL])
        caller = Caller(books.daemon.port).send(chat(MODEL), secret=books.daemon.secrets[-1])
        upstream.wait_for_calls()
        caller.leave()
        (row,) = books.daemon.wait_for_rows(1)
        books.ids.append(row["id"])
        assert row["status"] == "cancelled"
        books.check()

    def test_one_whose_access_token_is_revoked_meanwhile(self, books: Books, upstream: Upstream) -> None:
        upstream.script = lambda seen: event_stream(_FIRST, STALL)
        daemon = books.daemon
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
            caller.read_until(b"one ")
            books.ids.append(_id_in(caller.heard))
            daemon.json("tokens", "revoke", "laptop")
            caller.read_until(b"0\r\n\r\n")
        (row,) = books.check()
        assert (row["status"], row["error_code"]) == ("cancelled", "token_revoked")

    def test_one_that_sends_no_json(self, books: Books) -> None:
        with Caller(books.daemon.port) as caller:
            caller.send(b"\xff\xfe{", secret=books.daemon.secrets[-1])
            books.ids.append(_id_in(caller.read_until(b"\r\n\r\n")))
            assert caller.status == 400
        books.check()


def _command() -> list[str]:
    return [sys.executable, "-m", "chatvault"]


def _id_in(heard: bytes) -> str:
    head = heard.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    lines = (line.split(": ", 1) for line in head.split("\r\n")[1:])
    return next(value for name, value in lines if name == "x-request-id").upper()


def _until_refused(books: Books) -> Heard:
    """Ask until there is no room; each answer before that one was paid for."""
    daemon = books.daemon
    for _ in range(2000):
        heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, max_tokens=50), timeout=20)
        books.ids.append(heard.id)
        if heard.status != 200:
            assert heard.status == 503, heard.body
            return heard
        books.billed_picousd += COST_PICOUSD
    raise AssertionError("the disk is not full at all")


def _set_version(daemon: Daemon, number: int) -> None:
    with closing(sqlite3.connect(daemon.home / "chatvault.db")) as other, other:
        other.execute(f"PRAGMA user_version={number}")


def _wait_for_health(daemon: Daemon) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{daemon.url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
