"""A relay that only another host reaches, set up from nothing but what `tunnel setup` says."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.home import RELAY_HOST, tunnel_config
from tests.support.namespaces import needs_root
from tests.support.tunnel_world import World, world

pytestmark = [needs_root, pytest.mark.seconds(120)]

# The relay is known to its neighbour alone, here itself, by a name that only ssh's settings have.
_SSH_SETTINGS = """
Host vault
  HostName 127.0.0.1
  ProxyJump bastion
Host bastion
  HostName {host}
Host *
  User root
  IdentityFile {tools}/admin_key
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
"""


def _ssh(there: World, folder: Path) -> Path:
    """Make an `ssh` whose user has settings, and return its folder."""
    folder.mkdir()
    settings = folder / "config"
    settings.write_text(_SSH_SETTINGS.format(host=RELAY_HOST, tools=there.tools))
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {settings} "$@"\n')
    ssh.chmod(0o755)
    return folder


def test_what_setup_says_of_a_relay_behind_another_host_is_enough(tmp_path: Path) -> None:
    with world(tmp_path / "tunnel") as there, there.daemon(is_set_up=False, is_started=False) as daemon:
        (daemon.home / "ssh" / "known_hosts").unlink()
        daemon.env["PATH"] = f"{_ssh(there, tmp_path / 'user')}:{there.path}"
        done = daemon.run("tunnel", "setup", "root@vault", "--yes")
        assert done.returncode == 0, done.stderr
        line = re.search(r"^  (restrict,.*)$", done.stderr, re.MULTILINE)
        said = re.search(r"`(tunnel: .*)`;", done.stderr)
        assert line and said, done.stderr
        there.net.relay.run("sh", "-c", "cat >>/root/.ssh/authorized_keys", stdin=f"{line[1]}\n")
        daemon.write_config(tunnel_config(tunnel=yaml.safe_load(said[1])["tunnel"]))
        daemon.start()
        daemon.wait_for("up")
        there.wait_until_served()
