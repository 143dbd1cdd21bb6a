"""The tunnel's key, and the relay's as it was pinned."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import asyncssh
import pytest

from chatvault.errors import ChatVaultError, UsageError
from chatvault.tunnel import keys, known_hosts
from chatvault.tunnel.relay_script import relay_script
from chatvault.tunnel.user_ssh import check_destination


def _host_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().strip()


def test_a_relay_that_takes_connections_and_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_hosts, "_SHOW_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shown = known_hosts.shown_keys("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(ChatVaultError, match="does not answer"):
            asyncio.run(shown)


def test_a_key_is_private_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    opened = os.fdopen

    def watch(descriptor: int, *rest: object, **more: object) -> object:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return opened(descriptor, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "fdopen", watch)
    before = os.umask(0)
    try:
        public = keys.ensure_key(tmp_path / "ssh")
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert public.startswith("ssh-ed25519 AAAA")
    assert stat.S_IMODE((tmp_path / "ssh").stat().st_mode) == 0o700


def test_a_key_is_made_once(tmp_path: Path) -> None:
    assert keys.ensure_key(tmp_path / "ssh") == keys.ensure_key(tmp_path / "ssh")


def test_a_broken_key_is_no_reason_to_make_another(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    keys.key_file(tmp_path / "ssh").write_text("nonsense")
    with pytest.raises(ChatVaultError, match="no key the tunnel can use"):
        keys.ensure_key(tmp_path / "ssh")
    assert keys.key_file(tmp_path / "ssh").read_text() == "nonsense"


def test_a_pin_replaces_the_one_for_the_same_host_alone(tmp_path: Path) -> None:
    first, second, other = _host_key(), _host_key(), _host_key()
    assert known_hosts.pin(tmp_path, "relay.example.org", 22, [first])
    assert known_hosts.pin(tmp_path, "relay.example.org", 2222, [other])
    assert known_hosts.pin(tmp_path, "relay.example.org", 22, [second])
    assert not known_hosts.pin(tmp_path, "relay.example.org", 22, [second])
    assert known_hosts.pinned(tmp_path, "relay.example.org", 22) == (second,)
    assert known_hosts.pinned(tmp_path, "relay.example.org", 2222) == (other,)
    assert known_hosts.pinned(tmp_path, "elsewhere.example.org", 22) == ()


@pytest.mark.parametrize("line", ["relay ssh-ed25519 nonsense", "relay ssh-ed25519 AAAA", "relay a b"])
def test_a_line_that_holds_no_key_pins_nothing_and_is_replaced(tmp_path: Path, line: str) -> None:
    key = _host_key()
    known_hosts.known_hosts_file(tmp_path).write_text(f"{line}\nother {key}\n")
    assert known_hosts.pinned(tmp_path, "relay", 22) == ()
    assert known_hosts.pin(tmp_path, "relay", 22, [key])
    assert known_hosts.known_hosts_file(tmp_path).read_text() == f"other {key}\nrelay {key}\n"


def test_a_damaged_file_of_pinned_keys_is_said_to_be_one(tmp_path: Path) -> None:
    known_hosts.known_hosts_file(tmp_path).write_bytes(b"\xff\xfe\0")
    with pytest.raises(ChatVaultError, match="known_hosts is damaged") as raised:
        known_hosts.pinned(tmp_path, "relay", 22)
    assert raised.value.hint


def test_a_server_that_shows_no_key_is_told_of_in_words() -> None:
    with pytest.raises(ChatVaultError, match=r"\[127.0.0.1\]:1 refuses connections") as raised:
        asyncio.run(known_hosts.shown_keys("127.0.0.1", 1))
    assert raised.value.hint


def test_what_is_no_key_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(ChatVaultError, match="can't be read"):
        known_hosts.pin(tmp_path, "relay", 22, ["ssh-ed25519 nonsense"])
    with pytest.raises(ChatVaultError, match="no host key"):
        known_hosts.pin(tmp_path, "relay", 22, [])


@pytest.mark.parametrize("user", ["root; reboot", "-x", "A", "", "a" * 40, "a'b"])
def test_a_user_that_is_no_name_gets_into_no_script(user: str) -> None:
    with pytest.raises(UsageError):
        relay_script(user=user, port=4000, public_key=_host_key())


@pytest.mark.parametrize("key", ["ssh-rsa AAAA", "ssh-ed25519 AA'; reboot; '", "", "ssh-ed25519"])
def test_what_is_no_key_gets_into_no_script(key: str) -> None:
    with pytest.raises(UsageError):
        relay_script(user="relay", port=4000, public_key=key)


def test_the_script_holds_what_it_was_given(tmp_path: Path) -> None:
    public = keys.ensure_key(tmp_path)
    text = relay_script(user="relay-user", port=4443, public_key=public)
    assert "@" not in "".join(
        line for line in text.splitlines() if line.startswith(("user=", "port=", "key="))
    )
    assert "user='relay-user'" in text
    assert "port='4443'" in text
    assert " ".join(public.split()[:2]) in text


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "a@-b", "a b", "a@b;c", "", "@b", "a@b@c", "$(x)"])
def test_what_might_be_an_option_is_no_destination(text: str) -> None:
    with pytest.raises(UsageError):
        check_destination(text)


@pytest.mark.parametrize("text", ["admin@203.0.113.5", "relay", "a.b@relay.example.org", "me@fd78::1"])
def test_a_destination_is_what_ssh_takes(text: str) -> None:
    assert check_destination(text) == text


def test_ssh_takes_no_brackets() -> None:
    assert check_destination("me@[fd78::1]") == "me@fd78::1"


@pytest.mark.parametrize("text", ["me@relay:2222", "relay:22", "ssh://me@relay:22", "me@[fd78::1]:22"])
def test_a_port_is_told_where_it_belongs(text: str) -> None:
    with pytest.raises(UsageError, match="has a port in it") as raised:
        check_destination(text)
    assert ".ssh/config" in (raised.value.hint or "")
