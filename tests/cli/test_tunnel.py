"""Tests of `chatvault tunnel setup` as far as this machine goes: what it asks, shows and tells."""

import io
import os
import sys
from pathlib import Path

import pytest

from chatvault.tunnel import keys, known_hosts
from tests.support.program import Program

# The way is the real ssh's word, by the settings in $SSH_CONFIG; the relay only says what a script would.
_SSH = """#!/bin/sh
case "$1" in
-G) exec /usr/bin/ssh -F "$SSH_CONFIG" "$@" ;;
esac
cat >/dev/null
case "$*" in
*"cat /etc/ssh/ssh_host_"*) cat "$RELAY/hop_key" 2>/dev/null; exit ;;
*"-- apply"*) touch "$RELAY/applied"; echo "done  make it"
    [ ! -f "$RELAY/meanwhile" ] || cp "$RELAY/meanwhile" "$RELAY/changes" ;;
*) echo "would make it" ;;
esac
echo "hostkey $(cat "$RELAY/host_key")"
echo "changes $(cat "$RELAY/changes")"
"""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Relay:
    """A relay that `ssh` on this PATH speaks of; `ssh_config` holds the user's own settings."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text("")
        folder.joinpath("host_key").write_text(" ".join(keys.ensure_key(folder / "key").split()[:2]))
        self.needs(2)
        ssh = folder / "ssh"
        ssh.write_text(_SSH)
        ssh.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("SSH_CONFIG", str(self.ssh_config))
        monkeypatch.setenv("RELAY", str(folder))

    def has_hop(self) -> str:
        """Let the hosts on the way tell a host key, and return it."""
        key = " ".join(keys.ensure_key(self.folder / "hop").split()[:2])
        self.folder.joinpath("hop_key").write_text(f"{key} root@hop\n")
        return key

    def needs(self, changes: int) -> None:
        """Set how many changes it needs."""
        self.folder.joinpath("changes").write_text(str(changes))

    @property
    def is_changed(self) -> bool:
        return self.folder.joinpath("applied").exists()


@pytest.fixture
def relay(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Relay:
    return Relay(tmp_path_factory.mktemp("relay"), monkeypatch)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sits at this program."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_without_a_terminal_changes_are_shown_and_not_made(
    chatvault: Program, relay: Relay, more: list[str]
) -> None:
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", *more)
    assert done.code == 2
    assert "would make it" in done.out
    assert "there is no one to ask whether these 2 changes shall be made" in done.err
    assert "Try: chatvault tunnel setup admin@203.0.113.5 --yes" in done.err
    assert not relay.is_changed
    assert not chatvault.places.ssh_dir.exists()
    if more:
        assert (done.json["changes"], done.json["made"]) == (2, False)


@pytest.mark.usefixtures("nobody")
def test_yes_makes_the_changes_without_a_terminal(chatvault: Program, relay: Relay) -> None:
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", "--yes", "--json")
    assert done.code == 0, done.err
    assert relay.is_changed
    assert (done.json["changes"], done.json["made"]) == (2, True)
    assert "2 changes were made on 203.0.113.5" in done.err


@pytest.mark.usefixtures("nobody")
def test_where_nothing_is_to_change_nobody_is_asked(chatvault: Program, relay: Relay) -> None:
    relay.needs(0)
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5")
    assert done.code == 0, done.err
    assert not relay.is_changed
    assert "pinned  203.0.113.5" in done.err


@pytest.mark.parametrize(("word", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    chatvault: Program, relay: Relay, monkeypatch: pytest.MonkeyPatch, word: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(word))
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5")
    assert done.code == code
    assert "Make these 2 changes on admin@203.0.113.5? [y/N]" in done.err
    assert relay.is_changed == (code == 0)
    assert ("nothing was changed" in done.err) == (code != 0)


@pytest.mark.usefixtures("nobody")
def test_what_was_made_is_told_and_not_what_was_shown(chatvault: Program, relay: Relay) -> None:
    relay.folder.joinpath("meanwhile").write_text("1")
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", "--yes", "--json")
    assert done.code == 0, done.err
    assert (done.json["changes"], done.json["made"]) == (1, True)
    assert "1 changes were made on 203.0.113.5" in done.err


def test_a_dry_run_pins_nothing(chatvault: Program, relay: Relay) -> None:
    fingerprint = keys.fingerprint(relay.folder.joinpath("host_key").read_text())
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", "--pin", fingerprint, "--dry-run")
    assert done.code == 2
    assert "--dry-run changes nothing" in done.err


_ALIASES = """
Host vault
  HostName 203.0.113.5
  Port 2222
  ProxyJump bastion
Host bastion
  HostName 2001:db8::7
  User alice
Host tunnelled
  ProxyCommand nc %h %p
"""


@pytest.mark.usefixtures("nobody")
def test_the_settings_are_told_what_the_users_ssh_makes_of_an_alias(chatvault: Program, relay: Relay) -> None:
    relay.ssh_config.write_text(_ALIASES)
    key = relay.has_hop()
    done = chatvault.run("tunnel", "setup", "admin@vault", "--yes", "--json")
    assert done.code == 0, done.err
    assert (done.json["relay"], done.json["port"]) == ("203.0.113.5", 2222)
    assert (done.json["jump"], done.json["proxy_command"]) == (["alice@[2001:db8::7]"], False)
    line = "{enabled: true, host: 203.0.113.5, port: 2222, jump: ['alice@[2001:db8::7]']}"
    assert f"`tunnel: {line}`" in done.err
    assert f"2001:db8::7 {key}" in chatvault.places.ssh_dir.joinpath("known_hosts").read_text()
    assert 'permitopen="203.0.113.5:2222"' in done.err
    # What was printed is what the settings take.
    chatvault.write_settings(f"providers: {{echo: {{kind: echo}}}}\ntunnel: {line}\n")
    assert chatvault.run("config", "check").code == 0
    relay.needs(0)
    again = chatvault.run("tunnel", "setup", "admin@vault")
    assert "Now: chatvault tunnel up" in again.err
    assert "set in config.yaml" not in again.err


@pytest.mark.usefixtures("nobody")
def test_a_dry_run_names_the_way_too(chatvault: Program, relay: Relay) -> None:
    relay.ssh_config.write_text(_ALIASES)
    done = chatvault.run("tunnel", "setup", "admin@vault", "--dry-run")
    assert (done.code, relay.is_changed) == (0, False)
    assert "over alice@[2001:db8::7]: so must the tunnel, by tunnel.jump" in done.err
    assert not chatvault.places.ssh_dir.exists()


@pytest.mark.usefixtures("nobody")
def test_a_host_on_the_way_that_runs_no_command_is_to_be_pinned_by_hand(
    chatvault: Program, relay: Relay
) -> None:
    relay.ssh_config.write_text(_ALIASES)
    done = chatvault.run("tunnel", "setup", "admin@vault", "--yes")
    assert done.code == 0, done.err
    assert "chatvault tunnel setup bastion --pin SHA256:…" in done.err


@pytest.mark.usefixtures("nobody")
def test_another_key_of_a_host_on_the_way_is_not_taken_in_silence(chatvault: Program, relay: Relay) -> None:
    relay.ssh_config.write_text(_ALIASES)
    relay.has_hop()
    known_hosts.pin(chatvault.places.ssh_dir, "2001:db8::7", 22, [keys.sample()])
    done = chatvault.run("tunnel", "setup", "admin@vault", "--yes")
    assert done.code == 1
    assert "2001:db8::7 shows the host key" in done.err
    assert not relay.is_changed


@pytest.mark.usefixtures("nobody")
def test_a_proxy_command_is_no_way_for_the_tunnel(chatvault: Program, relay: Relay) -> None:
    relay.ssh_config.write_text(_ALIASES)
    done = chatvault.run("tunnel", "setup", "admin@tunnelled", "--yes")
    assert "Your ssh reaches tunnelled:22 by a ProxyCommand, which the tunnel can't do" in done.err


def test_a_pin_of_a_relay_behind_another_host_asks_it_over_that(chatvault: Program, relay: Relay) -> None:
    relay.ssh_config.write_text(_ALIASES)
    other = f"SHA256:{'A' * 43}"
    assert "told your ssh no host key" in chatvault.run("tunnel", "setup", "admin@vault", "--pin", other).err
    key = relay.has_hop()
    done = chatvault.run("tunnel", "setup", "admin@vault", "--pin", other)
    assert (done.code, keys.fingerprint(key) in done.err) == (1, True)
    assert chatvault.run("tunnel", "setup", "admin@vault", "--pin", keys.fingerprint(key)).code == 0
    known = chatvault.places.ssh_dir.joinpath("known_hosts").read_text()
    assert known == f"[203.0.113.5]:2222 {key}\n"


@pytest.mark.parametrize("given", ["", "md5", "SHA256:short", "MD5:aa:bb", f"{'A' * 43}"])
def test_what_is_no_fingerprint_is_refused_before_anything_is_dialled(
    chatvault: Program, relay: Relay, given: str
) -> None:
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", "--pin", given)
    assert done.code == 2
    assert "is no fingerprint of a host key" in done.err


@pytest.mark.usefixtures("nobody")
def test_the_script_comes_with_what_to_do_with_it(chatvault: Program, relay: Relay) -> None:
    done = chatvault.run("tunnel", "setup", "admin@203.0.113.5", "--print")
    assert (done.code, relay.is_changed) == (0, False)
    assert done.out.startswith("#!/bin/sh")
    assert "`sh FILE apply` does it" in done.err
    assert "Then here: chatvault tunnel setup admin@203.0.113.5 --pin SHA256:…" in done.err
