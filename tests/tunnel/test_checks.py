"""What doctor makes of the tunnel."""

from pathlib import Path

import asyncssh
import pytest

from chatvault.tunnel import keys, known_hosts
from chatvault.tunnel.checks import check_files, check_outside, check_state


def _host_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode()


def test_the_files_are_looked_at_one_after_another(tmp_path: Path) -> None:
    missing = check_files(tmp_path, "relay", 22)
    assert (missing.status, missing.fix) == ("fail", "chatvault tunnel setup USER@relay")
    keys.ensure_key(tmp_path)
    assert "pinned" in check_files(tmp_path, "relay", 22).detail
    known_hosts.pin(tmp_path, "relay", 22, [_host_key()])
    assert check_files(tmp_path, "relay", 22).status == "pass"
    assert check_files(tmp_path, "relay", 2222).status == "fail"
    keys.key_file(tmp_path).chmod(0o644)
    assert check_files(tmp_path, "relay", 22).fix == f"chmod 600 {keys.key_file(tmp_path)}"


def test_damaged_files_fail_and_end_no_other_check(tmp_path: Path) -> None:
    keys.ensure_key(tmp_path)
    known_hosts.known_hosts_file(tmp_path).write_text("relay ssh-ed25519 nonsense\n")
    assert check_files(tmp_path, "relay", 22).fix == "chatvault tunnel setup USER@relay"
    known_hosts.known_hosts_file(tmp_path).write_bytes(b"\xff\n")
    found = check_files(tmp_path, "relay", 22)
    assert (found.status, "damaged" in found.detail) == ("fail", True)
    assert found.fix


@pytest.mark.parametrize(
    ("status", "is_enabled", "wanted"),
    [
        ({"state": "up", "public_url": "https://x:4000", "reconnects": 0}, True, "pass"),
        ({"state": "off"}, False, "skip"),
        ({"state": "off"}, True, "fail"),
        ({"state": "connecting"}, True, "warn"),
        ({"state": "backoff", "reason": "r", "hint": "h"}, True, "fail"),
        ({"state": "contended", "reason": "r", "hint": "h"}, True, "fail"),
        ({"state": "failed", "reason": "r", "hint": "h"}, True, "fail"),
    ],
)
def test_every_state_has_its_verdict(status: dict[str, object], is_enabled: bool, wanted: str) -> None:
    found = check_state(status, is_enabled=is_enabled)
    assert found.status == wanted
    if wanted == "fail":
        assert found.fix


def test_plain_http_fails_though_it_works() -> None:
    met = {"ok": True, "detail": "http://x:4000 leads here"}
    assert check_outside(met, is_plain=True).status == "fail"
    assert check_outside(met, is_plain=False).status == "pass"
    assert check_outside({"ok": False, "detail": "d", "fix": "f"}, is_plain=False).fix == "f"
