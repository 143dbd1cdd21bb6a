"""Recordings of real provider traffic, where there are any: they are not this project's to keep."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path("shared/wire")


@dataclass(frozen=True)
class Recording:
    """One recorded answer: its body's bytes, and what was noted of it."""

    name: str
    body: bytes
    status: int
    meta: dict[str, Any]

    @property
    def is_stream(self) -> bool:
        return self.name.endswith((".sse", ".ndjson"))


def folder() -> Path | None:
    """Return the folder of recordings: `$CHATVAULT_WIRE`, else `shared/wire` beside this tree or above it."""
    if named := os.environ.get("CHATVAULT_WIRE"):
        return Path(named)
    return next((up / _BESIDE for up in Path(__file__).parents if (up / _BESIDE).is_dir()), None)


def recordings(provider: str) -> list[Recording]:
    """Return a provider's recordings, by name. Empty where there are none."""
    root = folder()
    metas = sorted((root / provider).glob("*.meta.json")) if root is not None else []
    return [_load(meta) for meta in metas]


def cases(provider: str, prefix: str = "") -> list[Any]:
    """Return a provider's recordings as test parameters: one skipped case where there are none."""
    found = [one for one in recordings(provider) if one.name.startswith(prefix)]
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason="no recordings at hand"))]
    return [pytest.param(one, id=one.name) for one in found]


def _load(meta: Path) -> Recording:
    told = json.loads(meta.read_text())
    stem = meta.name.removesuffix(".meta.json")
    body = next(path for path in meta.parent.glob(f"{stem}.*") if path != meta)
    return Recording(body.name, body.read_bytes(), told["status"], told)
