"""The Debian package, built, and installed on a machine of its own without a network."""

import filecmp
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd_box import Box, why_not

_ROOT = Path(__file__).parents[2]
_SERVICE = ("chatvault.socket", "chatvault.service")

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=why_not() or "it can run"),
    pytest.mark.seconds(900),
]


def build(source: Path, out: Path, *, umask: int = 0o022, **env: str) -> Path:
    """Build the package of a source, and return it."""
    done = subprocess.run(
        [source / "packaging/deb", out],
        env={**os.environ, "PYTHON": "/usr/bin/python3", "SOURCE_DATE_EPOCH": "1795651200", **env},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def copy_of(source: Path, target: Path) -> Path:
    """Copy a source as a checkout would: what git ignores stays behind, and the files are new."""
    ignored = shutil.ignore_patterns(".git", *(_ROOT / ".gitignore").read_text().replace("/\n", "\n").split())
    return Path(shutil.copytree(source, target, copy_function=shutil.copy, ignore=ignored))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, a later version of it named newer.deb beside it, and its source."""
    folder = tmp_path_factory.mktemp("deb")
    found = build(copy_of(_ROOT, folder / "source"), folder)
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", found, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 9.", 1))
    newer = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, folder / "newer.deb"]
    subprocess.run(newer, check=True, capture_output=True)
    subprocess.run(["rm", "-rf", tree], check=True)
    found.rename(folder / "chatvault.deb")
    return folder


@pytest.fixture
def box(tmp_path: Path, package: Path) -> Iterator[Box]:
    machine = Box(tmp_path / "box", is_bare=True, binds=[f"{package}:/packages"])
    try:
        yield machine.start()
    finally:
        machine.stop()


def usage(box: Box) -> int:
    found = json.loads(box.ok("chatvault", "usage", "--json"))
    return int(found["total"]["requests"])


def test_it_installs_offline_serves_and_is_upgraded_while_it_runs(box: Box) -> None:
    box.ok("dpkg", "--install", "/packages/chatvault.deb", seconds=300)
    assert box.run("systemctl", "is-active", "chatvault").stdout.strip() == "inactive"
    assert box.ok("stat", "-c", "%a %U", "/etc/chatvault/config.yaml").strip() == "600 chatvault"
    assert box.ok("ls", "/usr/share/man/man1/chatvault.1.gz")
    box.ok("bash", "-n", "/usr/share/bash-completion/completions/chatvault")

    box.configure("providers:\n  echo: {kind: echo}\n")
    box.ok("systemctl", "enable", "--now", *_SERVICE)
    secret = json.loads(box.ok("chatvault", "tokens", "add", "laptop", "--json"))["secret"]
    assert box.ask(secret)[0] == 200

    before = box.show("MainPID")
    load = """
import os, time, urllib.request
request = urllib.request.Request("http://127.0.0.1:4000/health")
seen = 0
end = time.monotonic() + 600
while time.monotonic() < end and not os.path.exists("/tmp/upgraded"):
    assert urllib.request.urlopen(request, timeout=60).status == 200
    seen += 1
    time.sleep(0.05)
print("never refused", seen)
"""
    with box.background("/usr/bin/python3", "-c", load) as asking:
        box.ok("dpkg", "--install", "/packages/newer.deb", seconds=300)
        box.ok("touch", "/tmp/upgraded")
        assert "never refused" in asking.communicate(timeout=60)[0]

    assert box.show("MainPID") not in (before, "0")
    assert box.ask(secret)[0] == 200
    assert usage(box) == 2
    assert box.ok("cat", "/etc/chatvault/config.yaml") == "providers:\n  echo: {kind: echo}\n"
    assert len(box.ok("bash", "-c", "ls -d /opt/chatvault/venv-*").split()) == 1


def test_it_goes_and_takes_the_state_along_only_when_told(box: Box) -> None:
    box.ok("dpkg", "--install", "/packages/chatvault.deb", seconds=300)
    box.ok("systemctl", "enable", "--now", *_SERVICE)
    secret = json.loads(box.ok("chatvault", "tokens", "add", "laptop", "--json"))["secret"]

    box.ok("dpkg", "--remove", "chatvault")
    assert box.run("systemctl", "is-active", "chatvault").stdout.strip() == "inactive"
    assert box.ask(secret)[0] == 0
    box.ok("dpkg", "--purge", "chatvault")
    assert box.ok("ls", "/var/lib/chatvault/chatvault.db", "/etc/chatvault/config.yaml")
    assert box.run("ls", "/opt/chatvault").returncode != 0

    box.ok("dpkg", "--install", "/packages/chatvault.deb", seconds=300)
    box.ok("systemctl", "enable", "--now", *_SERVICE)
    assert box.ask(secret)[0] in (200, 404)
    box.ok("dpkg", "--purge", "chatvault", env={"CHATVAULT_PURGE_STATE": "1"})
    assert box.run("ls", "-d", "/var/lib/chatvault", "/etc/chatvault").stdout == ""


def test_a_changed_wheel_is_not_installed(box: Box) -> None:
    box.ok("dpkg", "--unpack", "/packages/chatvault.deb")
    box.sh("echo x >>/opt/chatvault/wheels/$(ls /opt/chatvault/wheels | grep ^typer)")
    done = box.run("dpkg", "--configure", "chatvault", seconds=300)
    assert done.returncode != 0
    assert "HASHES" in done.stderr.upper()
    assert box.run("ls", "/opt/chatvault/venv").returncode != 0


@pytest.mark.full
def test_the_same_source_gives_the_same_bytes(tmp_path: Path, package: Path, is_full: bool) -> None:
    if not is_full:
        pytest.skip("only at full size: it builds the package a second time")
    # On another file system, where there is one with room: a folder's size is another there.
    elsewhere = Path("/dev/shm")
    has_room = elsewhere.is_dir() and shutil.disk_usage(elsewhere).free > 1_000_000_000
    with tempfile.TemporaryDirectory(dir=elsewhere if has_room else tmp_path) as folder:
        source = copy_of(package / "source", Path(folder) / "source")
        more = {"TMPDIR": folder, "HOME": folder, "TZ": "Asia/Tokyo", "LANG": "C", "COLUMNS": "40"}
        again = build(source, tmp_path, umask=0o077, **more)
    assert filecmp.cmp(again, package / "chatvault.deb", shallow=False)
