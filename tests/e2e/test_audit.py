"""The audit chain of the running program: signed, exported, pruned, and checked without ChatVault."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

from tests.support.clients import ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, settings
from tests.support.readme import script
from tests.support.scripted import Upstream


def _checked(daemon: Daemon, path: str) -> subprocess.CompletedProcess[str]:
    program = daemon.home / "check.py"
    program.write_text(script("check.py"))
    return subprocess.run(
        [sys.executable, "-I", "-S", str(program), path, str(daemon.home / "keys" / "allowed_signers")],
        capture_output=True,
        text=True,
        timeout=30,
    )


def _ask(daemon: Daemon, count: int) -> list[str]:
    ids = [ask(daemon.url, daemon.secrets[-1], chat(MODEL)).id for _ in range(count)]
    for request_id in ids:
        daemon.row(request_id)
    return ids


def test_an_export_of_the_running_program_is_checked_without_it(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    daemon.add_token()
    _ask(daemon, 3)
    for more in ((), ("--csv",)):
        done = daemon.json("audit", "export", *more)
        checked = _checked(daemon, done["path"])
        assert checked.returncode == 0, checked.stderr
        assert f"{done['last']} entries" in checked.stdout
    printed = daemon.run("audit", "export", "--out", "-").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in printed] == list(range(1, len(printed) + 1))


def test_a_pruned_chain_goes_on_and_verifies(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    daemon.add_token()
    old = _ask(daemon, 5)
    sealed = daemon.json("audit", "checkpoint")["seq"]
    time.sleep(1.1)
    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    new = _ask(daemon, 5)
    refused = daemon.run("audit", "prune", "--keep", "0d")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    done = daemon.json("audit", "prune", "--before", before, "--tz", "UTC", "--yes")
    assert (done["first"], done["last"]) == (1, sealed)
    assert _checked(daemon, done["archive"]).returncode == 0
    assert daemon.query("SELECT min(seq) AS first FROM audit") == [{"first": sealed + 1}]
    assert daemon.json("audit", "verify", "--full")["ok"]
    for request_id in (*old, *new):
        assert daemon.json("usage", "show", request_id)["id"] == request_id
    assert daemon.json("usage")["total"]["requests"] == 10
    again = daemon.run("audit", "prune", "--before", before, "--tz", "UTC", "--yes")
    assert (again.returncode, "nothing to prune" in again.stderr) == (2, True)
    daemon.stop()
    daemon.start()
    _ask(daemon, 1)
    found = daemon.json("audit", "verify", "--full", "--against", str(daemon.log_path))
    assert found["ok"] and found["against"]["matched"] == found["against"]["checkpoints"] >= 3
    made = daemon.json("backup", "create")
    assert daemon.json("backup", "verify", made["path"])["ok"]


def test_a_stop_leaves_a_signed_end(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    daemon.add_token()
    _ask(daemon, 2)
    daemon.stop()
    kinds = [row["kind"] for row in daemon.query("SELECT kind FROM audit ORDER BY seq DESC LIMIT 2")]
    assert kinds == ["checkpoint", "daemon.stopped"]
    assert "chatvault-checkpoint v1" in daemon.log
