"""What a provider is built with, for tests: real tasks, a clock that stands still."""

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from chatvault.providers.base import Resources

NOW_MS = 1_700_000_000_123


def resources(environ: Mapping[str, str] | None = None) -> Resources:
    """Return resources whose tasks live as long as the running loop."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(job: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(job, name=name)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    return Resources(
        environ=environ or {}, cache_dir=Path("/nonexistent"), spawn=spawn, now_ms=lambda: NOW_MS
    )
