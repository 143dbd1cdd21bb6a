"""Tests of the look at installed packages: a file that doesn't belong is found."""

import base64
import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from chatvault.cli import package_check
from chatvault.cli.package_check import check_packages


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with one package `victim`, as pip installs it."""
    site = tmp_path / "site-packages"
    (site / "victim").mkdir(parents=True)
    info = site / "victim-1.0.dist-info"
    info.mkdir()
    code = b"x = 1\n"
    (site / "victim" / "__init__.py").write_bytes(code)
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: victim\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        f"victim/__init__.py,sha256={digest},6\nvictim-1.0.dist-info/METADATA,,\nvictim-1.0.dist-info/RECORD,,\n"
    )
    monkeypatch.setattr(package_check, "distribution", lambda name: metadata.PathDistribution(info))
    return site


def _status(site: Path) -> str:
    return check_packages([site], "victim").status


def test_what_pip_installed_passes(site: Path) -> None:
    (site / "paths.pth").write_text("/opt/somewhere\n")
    (site / "distutils-precedence.pth").write_text("import os; __import__('_distutils_hack').add_shim()\n")
    assert _status(site) == "pass"


@pytest.mark.parametrize(
    "name", ["litellm_init.pth", "distutils-precedence.pth", "__editable__x.pth", "zzz.pth"]
)
def test_a_file_that_runs_code_at_every_start_fails(site: Path, name: str) -> None:
    (site / name).write_text("import base64; exec(base64.b64decode('cHJpbnQoMSk='))\n")
    found = check_packages([site], "victim")
    assert found.status == "fail" and name in found.detail
    assert "change every key" in str(found.fix)


def test_a_changed_file_fails(site: Path) -> None:
    (site / "victim" / "__init__.py").write_bytes(b"x = 2\n")
    assert _status(site) == "fail"


def test_an_added_file_fails(site: Path) -> None:
    (site / "victim" / "proxy.py").write_bytes(b"")
    assert _status(site) == "fail"


def test_a_starter_in_the_release_itself_fails(site: Path) -> None:
    with (site / "victim-1.0.dist-info" / "RECORD").open("a") as record:
        record.write("victim_init.pth,,\n")
    assert _status(site) == "fail"


def test_a_sitecustomize_is_worth_a_look(site: Path) -> None:
    (site / "sitecustomize.py").write_text("")
    assert _status(site) == "warn"


def test_this_environment_passes() -> None:
    found = check_packages()
    assert found.status in ("pass", "warn"), found.detail
