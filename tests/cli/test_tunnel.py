"""Tests of `chatvault tunnel setup` as far as this machine goes: what it asks, shows and tells."""

import io
import os
import sys
from pathlib import Path

import pytest

from chatvault.tunnel import keys
from tests.support.program import Program

# The way is the real ssh's word, by the settings in $SSH_CONFIG; the relay only says what a script would.
_SSH = """#!/bin/sh
case "$1" in
-G) exec /usr/bin/ssh -F "$SSH_CONFIG" "$@" ;;
esac
cat >/dev/null
case "$*" in
*"-- apply"*) touch "$RELAY/applied"; echo "done  make it" ;;
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
