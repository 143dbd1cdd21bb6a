"""Shifts the wall clock of a process by the seconds that stand in the file CHATVAULT_TEST_CLOCK names."""

import os
import time
from pathlib import Path

_path = os.environ.get("CHATVAULT_TEST_CLOCK")
_time_ns = time.time_ns

if _path:
    _file = Path(_path)

    def _shifted() -> int:
        try:
            seconds = float(_file.read_text() or 0)
        except (OSError, ValueError):
            seconds = 0.0
        return _time_ns() + int(seconds * 1e9)

    time.time_ns = _shifted
