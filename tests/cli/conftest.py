"""A program for each test."""

import sys
from pathlib import Path

import pytest

from tests.support.program import Program, program


@pytest.fixture
def chatvault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """ChatVault with an empty home."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    return program(tmp_path, monkeypatch, capsys)
