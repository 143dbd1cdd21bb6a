"""The one line that `systemctl status` shows."""

from collections.abc import Sequence

from chatvault.core.health import Condition


def status_line(base_url: str, *, running: int, conditions: Sequence[Condition]) -> str:
    """Say where the daemon serves, how many requests run, and what is wrong."""
    line = f"Serving {base_url}, {running} request{'' if running == 1 else 's'} running"
    if conditions:
        names = ", ".join(condition.name for condition in conditions)
        return f"{line}; needs a look: {names}"
    return line
