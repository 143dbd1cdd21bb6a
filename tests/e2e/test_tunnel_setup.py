"""What `chatvault tunnel setup` makes of a relay, and all that its key can not do there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatvault.tunnel import keys
from tests.support.home import RELAY_HOST, HomeDaemon, tunnel_config
from tests.support.namespaces import needs_root
from tests.support.tunnel_world import World, until, world

pytestmark = [needs_root, pytest.mark.seconds(120)]
_DESTINATION = f"root@{RELAY_HOST}"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tunnel")) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(there: World) -> Iterator[HomeDaemon]:
    """A daemon of a relay that is set up; it runs, and so the port is in use."""
    with there.daemon() as made:
        yield made


def _state(there: World) -> str:
    """Everything on the relay that a setup could change."""
    script = (
        "find /etc /usr/local /var/lib /root -xdev -type f | sort | xargs -r md5sum; "
        "find /etc /usr/local /var/lib /root -xdev -printf '%p %m %u %T@\\n' | sort; "
        "cat /proc/sys/net/ipv4/tcp_retries2; cat /run/sshd.pid"
    )
    return there.net.relay.run("sh", "-c", script)


def test_a_dry_run_changes_nothing_at_all(there: World) -> None:
    with there.daemon(is_set_up=False, is_started=False) as fresh:
        (fresh.home / "ssh" / "id_ed25519").unlink()
        (fresh.home / "ssh" / "known_hosts").unlink()
        before, local = _state(there), sorted(fresh.home.rglob("*"))
        done = fresh.run("tunnel", "setup", _DESTINATION, "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "would make the system user chatvault-relay" in done.stdout
        assert "GatewayPorts clientspecified" in done.stdout
        assert _state(there) == before
        assert sorted(fresh.home.rglob("*")) == local


def test_without_a_terminal_nothing_is_changed_unless_told_to(there: World) -> None:
    with there.daemon(_settings_of(user="asked7"), is_set_up=False, is_started=False) as fresh:
        before = _state(there)
        done = fresh.run("tunnel", "setup", _DESTINATION)
        assert done.returncode == 2
        assert "would make the system user asked7" in done.stdout
        assert "there is no one to ask" in done.stderr
        assert _state(there) == before


def test_programs_are_told_what_would_be_changed(there: World, daemon: HomeDaemon) -> None:
    told = daemon.json("tunnel", "setup", _DESTINATION, "--dry-run")
    assert (told["schema"], told["relay"], told["port"], told["dry_run"]) == (1, RELAY_HOST, 22, True)
    assert (told["changes"], told["lines"] != []) == (0, True)
    assert told["host_keys"] == [keys.fingerprint(there.relay.host_key)]


def test_a_second_setup_changes_nothing(there: World, daemon: HomeDaemon) -> None:
    before = _state(there)
    done = daemon.run("tunnel", "setup", _DESTINATION)
    assert done.returncode == 0, done.stderr
    assert "0 changes were made" in done.stderr
    assert _state(there) == before


def test_setup_pins_the_host_key_and_shows_its_fingerprint(there: World, daemon: HomeDaemon) -> None:
    (daemon.home / "ssh" / "known_hosts").unlink()
    done = daemon.run("tunnel", "setup", _DESTINATION)
    fingerprint = there.net.relay.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    assert f"pinned  {RELAY_HOST}  {fingerprint}" in done.stderr
    assert there.relay.host_key.split()[1] in (daemon.home / "ssh" / "known_hosts").read_text()


def test_a_pin_by_fingerprint_takes_that_key_and_no_other(there: World, daemon: HomeDaemon) -> None:
    fingerprint = there.net.relay.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    assert daemon.run("tunnel", "setup", _DESTINATION, "--pin", fingerprint).returncode == 0
    done = daemon.run("tunnel", "setup", _DESTINATION, "--pin", "SHA256:" + "A" * 43)
    assert done.returncode == 1
    assert fingerprint in done.stderr


def test_settings_that_sshd_refuses_are_taken_back(there: World, daemon: HomeDaemon) -> None:
    dropin = "/etc/ssh/sshd_config.d/99-broken.conf"
    there.relay.write(dropin, "NoSuchOption yes\n")
    try:
        before = _state(there)
        done = daemon.run("tunnel", "setup", _DESTINATION, "--yes")
        assert done.returncode == 1
        assert "broken" in done.stderr
        assert _state(there) == before
    finally:
        there.net.relay.run("rm", dropin)


_SSHD = "/usr/sbin/sshd"
_MAIN = "/etc/ssh/sshd_config"


def _settings_of(**tunnel: str) -> dict[str, Any]:
    config = tunnel_config()
    config["tunnel"] |= tunnel
    return config


@pytest.mark.parametrize(
    ("user", "made_by"),
    [
        ("root", "true"),
        ("operator7", "useradd --create-home operator7"),
        ("svc7", "useradd --system --home-dir /var/lib/svc7 svc7"),
        ("far7", 'useradd --system --comment "ChatVault\'s tunnel" --home-dir /srv/far7 far7'),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_a_login_that_setup_did_not_make_is_refused_untouched(
    there: World, user: str, made_by: str, dry: bool
) -> None:
    there.net.relay.run("sh", "-c", f"id {user} >/dev/null 2>&1 || {made_by}")
    with there.daemon(_settings_of(user=user), is_set_up=False, is_started=False) as fresh:
        before = _state(there)
        done = fresh.run("tunnel", "setup", _DESTINATION, "--dry-run" if dry else "--yes")
        assert done.returncode == 1
        assert f"the user {user} is there already and was not made by this setup" in done.stderr
        assert _state(there) == before


def test_an_include_that_would_wake_other_settings_is_taken_back(there: World, daemon: HomeDaemon) -> None:
    main = there.relay.read(_MAIN)
    without = "\n".join(line for line in main.splitlines() if not line.startswith("Include"))
    there.relay.write(_MAIN, f"{without}\n")
    there.relay.write("/etc/ssh/sshd_config.d/50-asleep.conf", "PasswordAuthentication yes\n")
    try:
        before = _files(there)
        done = daemon.run("tunnel", "setup", _DESTINATION, "--yes")
        assert done.returncode == 1
        assert "was passwordauthentication no" in done.stderr
        assert "now passwordauthentication yes" in done.stderr
        assert _files(there) == before
        there.net.relay.run(_SSHD, "-t")
    finally:
        there.net.relay.run("rm", "/etc/ssh/sshd_config.d/50-asleep.conf")
        there.relay.write(_MAIN, main)


def test_an_include_that_wakes_a_broken_file_is_taken_back(there: World, daemon: HomeDaemon) -> None:
    main = there.relay.read(_MAIN)
    without = "\n".join(line for line in main.splitlines() if not line.startswith("Include"))
    there.relay.write(_MAIN, f"{without}\n")
    there.relay.write("/etc/ssh/sshd_config.d/50-broken.conf", "NoSuchOption yes\n")
    try:
        before = _files(there)
        done = daemon.run("tunnel", "setup", _DESTINATION, "--yes")
        assert done.returncode == 1
        assert "does not accept the new settings" in done.stderr
        assert _files(there) == before
        there.net.relay.run(_SSHD, "-t")
    finally:
        there.net.relay.run("rm", "/etc/ssh/sshd_config.d/50-broken.conf")
        there.relay.write(_MAIN, main)


@pytest.mark.parametrize("line", ["PermitTTY yes", "AllowTcpForwarding yes", "PermitListen any"])
def test_a_limit_that_another_line_overrides_is_an_error(there: World, daemon: HomeDaemon, line: str) -> None:
    there.relay.write("/etc/ssh/sshd_config.d/00-early.conf", f"Match all\n  {line}\n")
    try:
        before = _files(there)
        for more in (["--yes"], ["--dry-run"]):
            done = daemon.run("tunnel", "setup", _DESTINATION, *more)
            assert done.returncode == 1
            assert f"'{line.lower()}' holds for chatvault-relay" in done.stderr
            assert _files(there) == before
        with there.daemon(_settings_of(user="fresh7"), is_set_up=False, is_started=False) as fresh:
            assert fresh.run("tunnel", "setup", _DESTINATION, "--yes").returncode == 1
        assert "fresh7" not in there.relay.read("/etc/passwd")
        assert _files(there) == before
    finally:
        there.net.relay.run("rm", "/etc/ssh/sshd_config.d/00-early.conf")


def _files(there: World) -> str:
    """What sshd reads, and its helper."""
    return there.net.relay.run("sh", "-c", "find /etc/ssh /usr/local -type f | sort | xargs -r md5sum")


def test_another_host_key_than_the_pinned_one_is_not_taken_in_silence(
    there: World, daemon: HomeDaemon, tmp_path: Path
) -> None:
    known = daemon.home / "ssh" / "known_hosts"
    text = known.read_text()
    other = keys.ensure_key(tmp_path / "other")
    known.write_text(f"{RELAY_HOST} {' '.join(other.split()[:2])}\n")
    shown = there.net.relay.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    try:
        for more in ([], ["--yes"], ["--dry-run"], ["--pin", shown]):
            done = daemon.run("tunnel", "setup", _DESTINATION, *more)
            assert done.returncode == 1, more
            assert shown in done.stderr
            assert keys.fingerprint(other) in done.stderr
            assert other.split()[1] in known.read_text()
        assert daemon.run("tunnel", "setup", _DESTINATION, "--new-host-key").returncode == 0
        assert known.read_text() == text
    finally:
        known.write_text(text)


def test_the_script_can_be_printed_and_run_by_hand(there: World, daemon: HomeDaemon) -> None:
    done = daemon.run("tunnel", "setup", _DESTINATION, "--print")
    assert done.stdout.startswith("#!/bin/sh")
    assert "changes 0" in there.net.relay.run("sh", "-s", "--", "apply", stdin=done.stdout)


def test_the_key_is_private_and_its_public_half_is_printed(daemon: HomeDaemon) -> None:
    path = daemon.home / "ssh" / "id_ed25519"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    shown = daemon.run("tunnel", "key").stdout
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.split()[:2] == derived.split()[:2]


def test_nobody_elses_login_is_touched(there: World, daemon: HomeDaemon) -> None:
    said = there.net.home.run(str(there.tools / "ssh"), _DESTINATION, "echo all is well")
    assert said.strip() == "all is well"
    shown = there.net.relay.run("/usr/sbin/sshd", "-T", "-C", "user=root,host=x,addr=203.0.113.1")
    assert "forcecommand none" in shown
    assert "gatewayports no" in shown
    assert "maxsessions 10" in shown


_ATTEMPTS = {
    "a shell": ["-T"],
    "a terminal": ["-tt"],
    "a command": ["-T", "id; echo escaped"],
    "sftp": ["-T", "-s", "sftp"],
    "a way in to the relay's own ssh": ["-N", "-W", "127.0.0.1:22"],
    "a way in to the cloud's metadata": ["-N", "-W", "169.254.169.254:80"],
    "a socks proxy": ["-N", "-D", "127.0.0.1:7001"],
    "a local forward": ["-N", "-L", "127.0.0.1:7001:127.0.0.1:22"],
    "a local forward to a unix socket": ["-N", "-L", "127.0.0.1:7001:/run/dbus/system_bus_socket"],
    "another port": ["-N", "-R", "*:4001:127.0.0.1:1"],
    "any port": ["-N", "-R", "*:0:127.0.0.1:1"],
    "a unix socket there": ["-N", "-R", "/tmp/escaped.sock:127.0.0.1:1"],
    "its agent": ["-T", "-A", "echo agent=$SSH_AUTH_SOCK"],
    "X11": ["-T", "-X", "echo display=$DISPLAY"],
    "a tunnel device": ["-N", "-w", "any:any"],
    "a password": ["-T", "-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password"],
    "another key": ["-T", "-o", "IdentityFile=/dev/null", "-o", "PubkeyAuthentication=no"],
}


@pytest.mark.parametrize("what", list(_ATTEMPTS))
def test_the_key_opens_nothing_else(there: World, daemon: HomeDaemon, what: str) -> None:
    """Nothing is told by an exit code alone: what would show success is looked for."""
    options = _ATTEMPTS[what]
    arguments = [each for each in options if each.startswith("-") or not _is_command(each, options)]
    command = [each for each in options if _is_command(each, options)]
    tried = _try(there, daemon, arguments, command, probe=7001 if "7001" in str(options) else None)
    assert "uid=" not in tried
    assert "escaped" not in tried
    assert "agent=" not in tried
    assert "display=" not in tried
    assert "SSH-2.0" not in tried
    listening = there.net.relay.run("ss", "-Hltnx")
    ports = {line.split()[3].rpartition(":")[2] for line in there.net.relay.run("ss", "-Hltn").splitlines()}
    assert ports <= {"22", "4000"}
    assert "escaped.sock" not in listening
    # A take-over ends the other sessions: the daemon is back before the next attempt.
    daemon.wait_for("up")


def test_a_take_over_ends_the_other_sessions_and_not_its_own(there: World, daemon: HomeDaemon) -> None:
    daemon.wait_for("up")
    links = daemon.tunnel()["reconnects"]
    # Who ends its own session too can't tell anybody.
    assert _try(there, daemon, ["-T"], ["chatvault-takeover"], probe=None) == "ended 1\n"
    until(lambda: daemon.tunnel()["reconnects"] == links + 1, seconds=30, what="a new link")


def _is_command(word: str, options: list[str]) -> bool:
    return word == options[-1] and " " in word


def _try(
    there: World, daemon: HomeDaemon, options: list[str], command: list[str], *, probe: int | None
) -> str:
    """Run OpenSSH's own client with the tunnel's key for a moment, and return all that came of it."""
    home = daemon.home / "ssh"
    ssh = [
        "ssh", "-F", "none", "-i", str(home / "id_ed25519"), "-o", "IdentitiesOnly=yes",
        "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={home / 'known_hosts'}", "-o", "GlobalKnownHostsFile=none",
        "-o", "ExitOnForwardFailure=no",
    ]  # fmt: skip
    words = [*options]
    is_subsystem = "-s" in words
    destination = f"chatvault-relay@{RELAY_HOST}"
    if is_subsystem:
        words.remove("sftp")
        command = ["sftp"]
    running = there.net.home.popen(
        *ssh, *words, destination, *command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    reached = ""
    try:
        if probe is not None:
            reached = there.net.home.call(lambda: _greeting(probe))
        out, err = running.communicate("id\nexit\n", timeout=3)
    except subprocess.TimeoutExpired:
        running.terminate()
        out, err = running.communicate(timeout=5)
    assert "bad configuration" not in err.lower()
    return f"{out}{reached}"


def _greeting(port: int) -> str:
    """What comes through a local forward that ssh has opened."""
    import socket
    import time

    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(1)
                connection.sendall(b"\x05\x01\x00")
                return connection.recv(100).decode("latin-1")
        except TimeoutError:
            return ""
        except OSError:
            time.sleep(0.05)
    return ""
