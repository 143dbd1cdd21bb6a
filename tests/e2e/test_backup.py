"""Backups of the running program, put back: what was in them, nothing else, and provably so."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from tests.support.clients import ask, chat, new_client
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, settings
from tests.support.scripted import Upstream


def _rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        found = connection.execute(sql).fetchall()
    return found


def _load(daemon: Daemon, secret: str, is_over: threading.Event) -> threading.Thread:
    def go_on_asking() -> None:
        with new_client() as client:
            while not is_over.is_set():
                ask(daemon.url, secret, chat(MODEL), client=client)

    thread = threading.Thread(target=go_on_asking)
    thread.start()
    return thread


def test_a_backup_taken_under_load_is_restored_and_is_a_prefix(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    is_over = threading.Event()
    clients = [_load(daemon, secret, is_over) for _ in range(4)]
    try:
        made = daemon.json("backup", "create")
        daemon.json("backup", "create", str(daemon.home / "another.db"))
    finally:
        is_over.set()
        for client in clients:
            client.join()
    assert [each["path"] for each in daemon.json("backup", "list")["backups"]] == [made["path"]]
    assert daemon.json("backup", "verify", made["path"])["ok"]
    assert daemon.run("backup", "restore", made["path"], "--yes").returncode == 6
    daemon.stop()
    assert daemon.run("backup", "restore", made["path"]).returncode == 2
    live = _rows(daemon.home / "chatvault.db", "SELECT seq, body, hash FROM audit ORDER BY seq")
    ledger = {row[0]: row for row in _rows(daemon.home / "chatvault.db", "SELECT * FROM ledger")}
    copied = _rows(Path(made["path"]), "SELECT * FROM ledger")

    done = daemon.json("backup", "restore", made["path"], "--yes")

    chain = _rows(daemon.home / "chatvault.db", "SELECT seq, body, hash FROM audit ORDER BY seq")
    assert chain[: made["seq"]] == live[: made["seq"]]
    assert copied and all(ledger[row[0]] == row for row in copied)
    assert Path(done["kept"]).exists()
    found = daemon.json("audit", "verify", "--full", "--against", str(daemon.log_path))
    assert found["ok"] and found["against"]["lost_to_restore"]
    daemon.start()
    assert ask(daemon.url, secret, chat(MODEL)).status == 200


def test_a_tail_written_anew_is_found_by_the_log(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    for _ in range(3):
        ask(daemon.url, secret, chat(MODEL))
    line = daemon.json("audit", "checkpoint")["line"]
    daemon.wait_for_log(line)
    daemon.stop()
    with closing(sqlite3.connect(daemon.home / "chatvault.db")) as connection, connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM audit WHERE seq > 3")
        connection.execute("DELETE FROM checkpoint")
        for _, text in guards:
            connection.execute(text)
    assert daemon.json("audit", "verify")["ok"]
    found = daemon.json("audit", "verify", "--against", str(daemon.log_path), code=1)
    assert {each["kind"] for each in found["problems"]} == {"cut_off"}
