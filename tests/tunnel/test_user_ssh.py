"""Where the user's own `ssh` goes, asked of the real one with settings of the test's own."""

from pathlib import Path

import pytest

from chatvault.config.hosts import jump_problem
from chatvault.errors import ChatVaultError
from chatvault.tunnel.user_ssh import Place, host_keys_of, place_of, run_there
from tests.support.ports import free_port

_SETTINGS = """
Host plain
  HostName 203.0.113.5
  Port 2222
Host behind
  HostName relay.internal
  ProxyJump bastion
Host bastion
  HostName bastion.example.org
  User alice
  Port 2200
Host deep
  HostName 10.0.0.9
  ProxyJump inner,bob@203.0.113.7:2022,carl@[2001:db8::7]
Host inner
  HostName inner.example.org
  User ines
  ProxyJump bastion
Host own-port
  ProxyJump bastion:22
Host command
  ProxyCommand nc %h %p
Host behind-command
  ProxyJump erin@command
Host none
  ProxyJump none
Host circle
  User u
  ProxyJump other
Host other
  ProxyJump circle
Host *
  User me
"""


@pytest.fixture
def ssh(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "config"
    path.write_text(_SETTINGS)
    return ("ssh", "-F", str(path))


def _way(place: Place) -> list[str]:
    return [hop.setting for hop in place.jump]


@pytest.mark.parametrize(
    ("destination", "host", "port", "way"),
    [
        ("admin@203.0.113.9", "203.0.113.9", 22, []),
        ("admin@plain", "203.0.113.5", 2222, []),
        ("admin@none", "none", 22, []),
        ("admin@behind", "relay.internal", 22, ["alice@bastion.example.org:2200"]),
        ("own-port", "own-port", 22, ["alice@bastion.example.org"]),
        (
            "deep",
            "10.0.0.9",
            22,
            [
                "alice@bastion.example.org:2200",
                "ines@inner.example.org",
                "bob@203.0.113.7:2022",
                "carl@[2001:db8::7]",
            ],
        ),
    ],
)
def test_aliases_and_hosts_on_the_way_are_what_ssh_makes_of_them(
    ssh: tuple[str, ...], destination: str, host: str, port: int, way: list[str]
) -> None:
    place = place_of(destination, ssh=ssh)
    assert (place.host, place.port, _way(place), place.has_command) == (host, port, way, False)
    assert [jump_problem(hop) for hop in way] == [None] * len(way)


def test_a_proxy_command_is_told_wherever_it_stands(ssh: tuple[str, ...]) -> None:
    assert place_of("command", ssh=ssh) == Place("command", 22, (), True)
    behind = place_of("behind-command", ssh=ssh)
    assert (_way(behind), behind.has_command) == (["erin@command"], True)


def test_a_way_in_a_circle_ends(ssh: tuple[str, ...]) -> None:
    with pytest.raises(ChatVaultError, match="circle"):
        place_of("circle", ssh=ssh)


def test_a_host_on_the_way_tells_its_keys_over_the_hosts_before_it(
    ssh: tuple[str, ...], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    fake = tmp_path / "ssh"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>{asked}\n'
        'echo Welcome!; echo "ssh-ed25519 AAAA root@hop"; echo "ssh-rsa BBBB root@hop"\n'
    )
    fake.chmod(0o755)
    hops = place_of("deep", ssh=ssh).jump
    assert [host_keys_of(hop.words, ssh=(str(fake),)) for hop in hops] == [("ssh-ed25519 AAAA",)] * 4
    first, inner, bob, carl = asked.read_text().splitlines()
    assert "-J" not in first and first.split(" cat ")[0].endswith("-- bastion")
    # The first of a list goes the way of its own settings.
    assert "-J" not in inner and inner.split(" cat ")[0].endswith("-- inner")
    assert bob.split(" cat ")[0].endswith("-J inner -l bob -p 2022 -- 203.0.113.7")
    assert carl.split(" cat ")[0].endswith("-J inner,bob@203.0.113.7:2022 -l carl -- 2001:db8::7")


def test_a_host_that_runs_nothing_tells_nothing(ssh: tuple[str, ...]) -> None:
    (hop,) = place_of("behind", ssh=ssh).jump
    assert host_keys_of(hop.words, ssh=("false",)) == ()
    assert host_keys_of(hop.words, ssh=("no-such-ssh",)) == ()


def test_what_the_settings_have_a_login_do_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        f"Host *\n  HostName 127.0.0.1\n  RemoteCommand tmux\n  RequestTTY force\n  Port {free_port()}\n"
        "  PermitLocalCommand yes\n  LocalCommand echo\n  ExitOnForwardFailure yes\n"
        "  RemoteForward 4000 [::1]:4\n"
    )
    ssh = ("ssh", "-F", str(path))
    # Nobody listens there: it has to come so far as to find that out.
    assert "refused" in run_there("me@relay", "true", "", ssh=ssh).stderr
    asked = run_there("me@relay", "true", "", ssh=(*ssh, "-G")).stdout.splitlines()
    assert not [line for line in asked if line.startswith(("remotecommand", "remoteforward", "localforward"))]
    assert {"permitlocalcommand no", "requesttty false"} <= set(asked)


@pytest.mark.parametrize("line", ["SessionType none", "StdinNull yes"])
def test_settings_that_run_no_command_are_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"Host *\n  {line}\n")
    with pytest.raises(ChatVaultError, match=line):
        place_of("me@relay", ssh=("ssh", "-F", str(path)))
