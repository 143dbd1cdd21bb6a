"""What end-to-end tests start from: a scripted provider, and the program in a home of its own."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import UPSTREAM_KEY, fitting
from tests.support.scripted import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A scripted provider that answers fittingly until a test says otherwise."""
    with Upstream(fitting) as scripted:
        yield scripted


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that starts the program with the settings it is given."""
    with ExitStack() as stack:

        def start(config: Mapping[str, Any] | str | None, *args: str, **more: Any) -> Daemon:
            home = tmp_path / f"home{len(list(tmp_path.glob('home*')))}"
            daemon = Daemon(home, config, secrets=[UPSTREAM_KEY], **more)
            return stack.enter_context(daemon.start(*args))

        yield start
