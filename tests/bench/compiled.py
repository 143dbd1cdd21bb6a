"""Compiles the mock provider and the load generator, when their sources are newer than the last result."""

import os
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "native"


def program(name: str) -> Path:
    """Return the path of `native/NAME.c`, compiled with gcc into the user's cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatvault-bench"
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / name
    newest = max(source.stat().st_mtime for source in SOURCES.iterdir())
    if not result.exists() or result.stat().st_mtime < newest:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
            pass
        subprocess.run(["gcc", "-O2", "-o", partial.name, SOURCES / f"{name}.c"], check=True)
        Path(partial.name).chmod(0o755)
        Path(partial.name).replace(result)
    return result
