"""The one place that looks at the process itself: its environment and its user."""

import os
from collections.abc import Mapping


def current_environ() -> Mapping[str, str]:
    """Return the environment as it is now."""
    return dict(os.environ)


def is_root() -> bool:
    """Whether the process runs as root."""
    return os.geteuid() == 0
