"""The daemon under a real systemd: started, watched, reloaded, restarted and stopped."""

import json
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import hanging_serve
from tests.support.systemd_box import PROGRAM, VENV, Box, why_not

ECHO = "providers:\n  echo: {kind: echo}\n"
SLOW = """
server: {drain_seconds: %g}
providers:
  echo: {kind: echo}
  slow: {kind: openai_compatible, base_url: "http://127.0.0.1:9000/v1", api_key: "sk-none-such-key"}
prices:
  overrides: [{model: fixed, per_mtok: {input: 1, output: 2}}]
"""
URL = "http://127.0.0.1:4000"
END = "/tmp/enough"
WATCHDOG = "[Service]\nWatchdogSec=4s\nTimeoutAbortSec=2s\n"

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=why_not() or "it can run"),
    pytest.mark.seconds(300),
]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    machine = Box(tmp_path / "box")
    try:
        yield machine.start()
    finally:
        machine.stop()


def pid(box: Box) -> int:
    return int(box.show("MainPID"))


def is_another(box: Box, before: int) -> bool:
    return pid(box) not in (0, before) and is_active(box)


def is_active(box: Box) -> bool:
    return box.show("ActiveState") == "active"


def rows(box: Box) -> int:
    return int(box.query("SELECT count(*) FROM ledger")[0][0])


def has_rows(box: Box, count: int) -> bool:
    return rows(box) >= count


def test_it_starts_serves_and_says_how_it_is(box: Box) -> None:
    secret = box.settle_in(ECHO)

    status, body = box.ask(secret)
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "one two")
    assert 'Status: "Serving http://127.0.0.1:4000/v1, 0 requests running"' in box.ok(
        "systemctl", "status", "chatvault"
    )
    assert box.show("User") == "chatvault"
    assert box.ok("stat", "-c", "%a %U:%G", "/run/chatvault/control.sock").strip() == (
        "660 chatvault:chatvault"
    )
    assert box.ok("stat", "-c", "%a %U:%G", "/var/lib/chatvault/chatvault.db").strip() == (
        "600 chatvault:chatvault"
    )
    fields = [json.loads(line) for line in box.ok("journalctl", "-u", "chatvault", "-o", "json").splitlines()]
    request = next(each for each in fields if each.get("CHATVAULT_MODEL") == "echo/echo")
    assert request["_SYSTEMD_UNIT"] == "chatvault.service"
    assert secret not in json.dumps(fields)


def test_a_killed_daemon_is_back_and_its_ledger_whole(box: Box, is_full: bool) -> None:
    secret = box.settle_in(ECHO)
    rounds = 10 if is_full else 2
    with box.background(*box.support("steady_load", URL, secret, "echo/echo", "50", "250", END)) as load:
        for _ in range(rounds):
            time.sleep(1)
            before = pid(box)
            box.ok("kill", "-KILL", str(before))
            box.wait("restarted", partial(is_another, box, before))
        box.ok("touch", END)
        outcomes = json.loads(load.communicate(timeout=60)[0])

    assert outcomes.get("refused", 0) == 0
    assert box.query("SELECT count(*) FROM hold") == [[0]]
    found = dict(box.query("SELECT status, count(*) FROM ledger GROUP BY status"))
    # An answer can be out a moment before its settlement is committed: its hold then stands for it.
    assert found["ok"] + found.get("interrupted", 0) >= outcomes["200"]
    assert box.json("audit", "verify", "--full")["ok"] is True


def test_the_watchdog_ends_a_daemon_that_hangs(box: Box) -> None:
    secret = box.settle_in(ECHO, unit_lines=WATCHDOG)
    before = pid(box)
    time.sleep(6)
    assert pid(box) == before, "a daemon that lives is left alone"

    box.ok("kill", "-STOP", str(before))

    box.wait("restarted", partial(is_another, box, before), seconds=60)
    assert "Watchdog timeout" in box.journal()
    assert box.ask(secret)[0] == 200


def test_the_watchdog_ends_a_loop_that_hangs_while_threads_live_on(box: Box) -> None:
    path = "/opt/chatvault/hanging_serve.py"
    box.write(path, Path(hanging_serve.__file__).read_text(), mode="644")
    wrapped = f"ExecStart=\nExecStart={VENV}/bin/python -P {path} serve\n"
    secret = box.settle_in(ECHO, unit_lines=WATCHDOG + wrapped)
    before = pid(box)
    with box.background(*box.support("steady_load", URL, secret, "echo/echo", "50", "4")) as load:
        box.wait("served", partial(has_rows, box, 20))
        box.ok("kill", "-USR2", str(before))
        box.wait("restarted", partial(is_another, box, before), seconds=60)
        outcomes = json.loads(load.communicate(timeout=120)[0])

    journal = box.journal()
    assert "Watchdog timeout" in journal
    assert journal.count(hanging_serve.LIVES) >= 5
    # The log says where the loop hung.
    assert "hanging_serve.py" in journal.partition("Fatal Python error: Aborted")[2]
    assert box.ask(secret)[0] == 200
    assert outcomes.get("refused", 0) == 0
    assert box.query("SELECT count(*) FROM hold") == [[0]]
    found = dict(box.query("SELECT status, count(*) FROM ledger GROUP BY status"))
    assert found["ok"] + found.get("interrupted", 0) > outcomes["200"]
    assert box.json("audit", "verify", "--full")["ok"] is True


@pytest.mark.parametrize("drain_seconds", [30, 1])
def test_a_stop_lets_streams_end_or_settles_them(box: Box, drain_seconds: float) -> None:
    secret = box.settle_in(SLOW % drain_seconds)
    load = box.support("steady_load", URL, secret, "slow/fixed", "100", "0.1", "stream")
    # They outlast the look and the limit by far, or are over well before the limit.
    words = "160" if drain_seconds > 3 else "600"
    with box.background(*box.support("slow_upstream", "9000", words, "0.05")):
        box.wait("listening", lambda: box.run("bash", "-c", "echo >/dev/tcp/127.0.0.1/9000").returncode == 0)
        with box.background(*load) as streams:
            box.wait("ten streams", lambda: box.json("status")["requests_in_flight"] == 10)
            box.ok("systemctl", "stop", "chatvault.socket", "chatvault.service")
            outcomes = json.loads(streams.communicate(timeout=60)[0])
    assert outcomes == ({"done": 10} if drain_seconds > 3 else {"cut": 10})
    assert box.query("SELECT count(*) FROM hold") == [[0]]
    found = box.query("SELECT status, output_tokens > 0, count(*) FROM ledger GROUP BY 1, 2")
    assert found in ([["ok", 1, 10]], [["cancelled", 1, 10]], [["error", 1, 10]])
    assert (found[0][0] == "ok") == (drain_seconds > 3)
    assert box.show("Result") == "success"


def test_restarts_under_load_refuse_nobody_and_lose_no_row(box: Box, is_full: bool) -> None:
    secret = box.settle_in(ECHO)
    restarts = 20 if is_full else 4
    with box.background(*box.support("steady_load", URL, secret, "echo/echo", "50", "250", END)) as load:
        for _ in range(restarts):
            box.wait("served", partial(has_rows, box, rows(box) + 20))
            box.ok("systemctl", "restart", "chatvault.service")
        assert load.poll() is None, "the load was to go on during all restarts"
        box.ok("touch", END)
        outcomes = json.loads(load.communicate(timeout=120)[0])

    assert list(outcomes) == ["200"]
    assert outcomes["200"] > 20 * restarts
    assert box.query("SELECT status, count(*) FROM ledger GROUP BY 1") == [["ok", outcomes["200"]]]


def test_a_reload_tells_systemctl_how_it_went(box: Box) -> None:
    secret = box.settle_in(ECHO)
    box.configure(f'{ECHO}models:\n  mine: {{routes: ["echo/echo"]}}\n')
    box.ok("systemctl", "reload", "chatvault")
    assert box.ask(secret, "mine")[0] == 200

    before = pid(box)
    box.configure("nonsense: true\n")
    assert box.run("systemctl", "reload", "chatvault").returncode != 0
    assert "nonsense" in box.journal()
    assert box.ask(secret, "mine")[0] == 200
    box.wait("said", lambda: "needs a look: settings" in box.show("StatusText"))
    assert (pid(box), is_active(box)) == (before, True)


def test_settings_that_cannot_be_used_are_not_tried_for_ever(box: Box) -> None:
    box.settle_in(ECHO)
    box.configure("nonsense: true\n")
    assert box.run("systemctl", "restart", "chatvault").returncode != 0
    box.wait("given up", lambda: box.show("ActiveState") == "failed")
    assert "nonsense" in box.journal()


def test_keys_come_as_credentials_plain_and_encrypted(box: Box) -> None:
    config = f'{ECHO}  anthropic: {{kind: anthropic, api_key: "%s"}}\n'
    key = "sk-ant-test-1234567890abcdef"
    box.write("/etc/credstore/ANTHROPIC_API_KEY", key)
    box.settle_in(config % "env:ANTHROPIC_API_KEY")
    assert is_active(box)

    box.sh("rm /etc/credstore/ANTHROPIC_API_KEY; mkdir -p /etc/credstore.encrypted")
    assert box.run("systemctl", "restart", "chatvault").returncode != 0
    box.ok(
        *("systemd-creds", "encrypt", "--with-key=host", "--name=paid", "-", "/etc/credstore.encrypted/paid"),
        stdin=key,
    )
    box.drop_in("[Service]\nLoadCredentialEncrypted=paid:/etc/credstore.encrypted/paid\n")
    box.configure(config % "cred:paid")
    box.ok("systemctl", "restart", "chatvault")
    assert is_active(box)
    assert key not in box.journal()


def test_it_comes_after_ollama_and_does_without(box: Box) -> None:
    box.write(
        "/etc/systemd/system/ollama.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n",
        mode="644",
    )
    box.settle_in(ECHO)
    box.ok("systemctl", "stop", "chatvault.socket", "chatvault.service")
    box.ok("systemctl", "start", "ollama.service", "chatvault.service")
    ollama = int(box.show("ActiveEnterTimestampMonotonic", "ollama.service"))
    assert ollama < int(box.show("ExecMainStartTimestampMonotonic"))

    box.sh("systemctl stop ollama chatvault; rm /etc/systemd/system/ollama.service; systemctl daemon-reload")
    box.ok("systemctl", "start", "chatvault.service")
    assert is_active(box)


def test_a_full_disk_is_said_and_passes(box: Box) -> None:
    secret = box.settle_in(SLOW % 5)
    box.sh(
        "systemctl stop chatvault.socket chatvault; cp -a /var/lib/chatvault /tmp/kept;"
        "mount -t tmpfs -o size=40m,mode=700,uid=$(id -u chatvault),gid=$(id -g chatvault) tmpfs"
        " /var/lib/chatvault; cp -a /tmp/kept/. /var/lib/chatvault/; systemctl start chatvault"
    )
    with box.background(*box.support("slow_upstream", "9000", "2", "0")):
        box.run("bash", "-c", "head -c 80M /dev/zero >/var/lib/chatvault/filler")
        box.wait("refused", lambda: box.ask(secret, "slow/fixed")[0] == 503, seconds=30)
        box.wait("said", lambda: "needs a look: storage" in box.show("StatusText"))

        box.ok("rm", "/var/lib/chatvault/filler")
        box.wait("well again", lambda: "needs a look" not in box.show("StatusText"), seconds=30)
        assert is_active(box)


def test_the_embedded_model_comes_back_after_a_kill(box: Box) -> None:
    if find_spec("xllamacpp") is None:
        pytest.skip("the embedded model is not installed")
    secret = box.settle_in("providers:\n  echo: {kind: echo}\n  embedded: {kind: embedded}\n")
    assert box.ask(secret, "embedded/smollm2-135m", seconds=60)[0] == 200
    children = box.ok("pgrep", "-P", str(pid(box))).split()
    assert children

    box.ok("kill", "-KILL", *children)

    assert box.ask(secret)[0] == 200
    box.wait("back", lambda: box.ask(secret, "embedded/smollm2-135m")[0] == 200, seconds=60)


PROBE = """
import ctypes, json, mmap, os, socket, sys
def tried(work):
    try:
        work()
    except (OSError, PermissionError) as exc:
        return type(exc).__name__
    return "done"
def write(path):
    with open(path, "w") as file:
        file.write("x")
print(json.dumps({
    "own": tried(lambda: write(os.environ["STATE_DIRECTORY"] + "/probe")),
    "etc": tried(lambda: write("/etc/probe")),
    "usr": tried(lambda: write("/usr/probe")),
    "var": tried(lambda: write("/var/lib/probe")),
    "opt": tried(lambda: write("/opt/chatvault/probe")),
    "home": tried(lambda: os.listdir("/root")) if os.path.exists("/root") else "gone",
    "homes": os.listdir("/home") if os.access("/home", os.R_OK) else [],
    "tmp": os.listdir("/tmp"),
    "others": [each for each in os.listdir("/proc") if each == "1"],
    "sysctl": tried(lambda: write("/proc/sys/kernel/hostname")),
    "kmsg": tried(lambda: open("/dev/kmsg").close()),
    "packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
    "setuid": tried(lambda: os.setuid(0)),
    "chroot": tried(lambda: os.chroot("/")),
    "wx": tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()),
    "suid": tried(lambda: os.chmod(os.environ["STATE_DIRECTORY"] + "/probe", 0o4755)),
    "no_new_privs": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
    "caps": [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1],
}))
"""


def test_the_sandbox_keeps_its_promises(box: Box) -> None:
    box.settle_in(ECHO)
    box.write("/opt/chatvault/probe.py", PROBE, mode="644")
    box.ok("touch", "/tmp/of-another")
    box.sh(
        "sed -e 's#^ExecStart=.*#ExecStart=" + VENV + "/bin/python /opt/chatvault/probe.py#'"
        " -e 's/^Type=.*/Type=oneshot/' -e '/^Watchdog/d; /^Restart/d; /^RuntimeDirectory/d'"
        " /etc/systemd/system/chatvault.service >/etc/systemd/system/probe.service;"
        "systemctl daemon-reload; systemctl start probe"
    )
    found = json.loads(
        box.journal("probe").split("\n{")[-1].splitlines()[0].join(["{", ""]).replace("{{", "{")
    )

    assert found.pop("own") == "done"
    assert (found.pop("tmp"), found.pop("homes"), found.pop("others")) == ([], [], [])
    assert (found.pop("no_new_privs"), found.pop("caps")) == (1, "0000000000000000")
    assert "done" not in found.values(), found


def test_the_exposure_is_low(box: Box) -> None:
    box.ok(PROGRAM, "systemd", "install")
    for unit in ("chatvault", "chatvault-backup", "chatvault-verify"):
        path = f"/etc/systemd/system/{unit}.service"
        box.ok("systemd-analyze", "security", "--offline=true", "--threshold=15", path)
        said = box.run("systemd-analyze", "verify", path).stderr
        assert [
            line
            for line in said.splitlines()
            if unit in line and "Restart" not in line and "man chatvault" not in line
        ] == []


def test_installing_is_repeatable_and_leaves_nothing_behind(box: Box) -> None:
    dry = box.json("systemd", "install", "--dry-run")
    assert dry["dry_run"] is True
    assert box.run("ls", "/etc/systemd/system/chatvault.service").returncode != 0

    first = [each["what"] for each in box.json("systemd", "install")["changes"]]
    again = [each["what"] for each in box.json("systemd", "install")["changes"]]
    assert [each for each in first if each.startswith("write ")]
    assert not [each for each in again if each.startswith(("write ", "update "))]

    box.ok("systemctl", "enable", "--now", "chatvault.socket", "chatvault.service")
    box.ok(PROGRAM, "systemd", "uninstall")
    assert box.run("bash", "-c", "ls -d /etc/systemd/system/chatvault* /etc/*/chatvault.conf").stdout == ""
    assert box.run("systemctl", "is-active", "chatvault").stdout.strip() == "inactive"
    assert box.ok("ls", "/var/lib/chatvault/chatvault.db")
    assert box.json("systemd", "uninstall")["changes"] == []


def test_a_program_out_of_the_services_reach_is_refused(box: Box) -> None:
    box.sh(f"cp -r {VENV} /root/venv; sed -i 's#^\\#!.*#\\#!/root/venv/bin/python#' /root/venv/bin/chatvault")
    done = box.run("/root/venv/bin/chatvault", "systemd", "install", "--dry-run")
    assert done.returncode == 4
    assert "/root" in done.stderr and "/opt/chatvault" in done.stderr


def test_a_user_runs_it_in_a_manager_of_their_own(box: Box) -> None:
    box.sh("useradd --create-home bob; loginctl enable-linger bob")
    uid = box.ok("id", "-u", "bob").strip()
    env = {"XDG_RUNTIME_DIR": f"/run/user/{uid}", "HOME": "/home/bob"}
    box.wait("the manager", lambda: box.run("ls", f"/run/user/{uid}/systemd/private").returncode == 0)
    box.ok(PROGRAM, "systemd", "install", "--user", user="bob", env=env)
    box.ok("systemctl", "--user", "enable", "--now", "chatvault", user="bob", env=env)

    said = box.ok("systemctl", "--user", "status", "chatvault", user="bob", env=env)
    assert "Serving http://127.0.0.1:4000/v1" in said
    secret = box.json("tokens", "add", "laptop", user="bob", env=env)["secret"]
    assert box.ask(secret)[0] == 200
    box.ok("systemctl", "--user", "reload", "chatvault", user="bob", env=env)
    box.ok(PROGRAM, "systemd", "uninstall", "--user", user="bob", env=env)
    assert box.ask(secret)[0] == 0


def test_what_root_makes_with_the_daemon_down_belongs_to_the_service(box: Box) -> None:
    box.settle_in(ECHO)
    box.ok("systemctl", "stop", "chatvault.socket", "chatvault")
    box.json("tokens", "add", "second")
    strangers = box.ok("find", "/var/lib/chatvault", "!", "-user", "chatvault")
    assert strangers == ""
    box.ok("systemctl", "start", "chatvault")
    assert is_active(box)


def test_the_group_reads_root_changes_and_a_stranger_is_told_why(box: Box) -> None:
    secret = box.settle_in(ECHO)
    assert box.ask(secret)[0] == 200
    box.sh("useradd --create-home -G chatvault ann; useradd --create-home eve")

    for user in (None, "ann"):
        assert box.json("usage", "--by", "token", user=user)["total"]["requests"] == 1
        assert box.json("audit", "verify", "--full", user=user)["ok"] is True
        assert box.json("status", user=user)["version"]
        assert "laptop" in box.ok(PROGRAM, "tokens", "list", user=user)
    for words in (["tokens", "add", "mine"], ["tokens", "revoke", "laptop"], ["config", "reload"]):
        done = box.run(PROGRAM, *words, user="ann")
        assert (done.returncode, "root" in done.stderr) == (4, True), (words, done.stderr)
    for words in (["usage"], ["status"], ["audit", "verify"]):
        done = box.run(PROGRAM, *words, user="eve")
        assert (done.returncode, "group chatvault" in done.stderr) == (4, True), (words, done.stderr)
    for user in ("ann", "eve"):
        for words in (["keys", "list"], ["doctor"], ["config", "show"], ["config", "check"]):
            done = box.run(PROGRAM, *words, user=user)
            assert (done.returncode, "/etc/chatvault" in done.stderr) == (4, True), (user, words, done.stderr)
    box.ok("systemctl", "stop", "chatvault.socket", "chatvault")
    done = box.run(PROGRAM, "status")
    assert (done.returncode, "Try: systemctl start chatvault\n" in done.stderr) == (3, True), done.stderr


def test_the_timers_jobs_do_their_work_beside_the_daemon_and_without(box: Box) -> None:
    secret = box.settle_in(ECHO)
    assert box.ask(secret)[0] == 200
    assert "chatvault-backup.timer" not in box.ok("systemctl", "list-timers", "--all")
    assert box.json("backup", "create")["path"].startswith("/var/lib/chatvault/")
    for _ in range(2):
        for job in ("chatvault-backup", "chatvault-verify"):
            done = box.run("systemctl", "start", f"{job}.service")
            assert done.returncode == 0, box.journal(job)
        assert box.json("backup", "list")["backups"]
        assert box.ok("stat", "-c", "%U", "/run/chatvault").strip() == "chatvault"
        box.ok("systemctl", "stop", "chatvault.socket", "chatvault.service")
    # The weekly check has read the journal: a chain whose signed past was thrown away doesn't fit it.
    assert "kept elsewhere, of which" in box.journal("chatvault-verify")
    assert box.ok("find", "/var/lib/chatvault", "!", "-user", "chatvault") == ""
