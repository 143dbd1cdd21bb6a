"""Reports for members of the group chatvault: they can't open the database, so the daemon runs them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chatvault.cli.context import Context, GlobalOptions

_SYSTEM_FOLDER = Path("/var/lib/chatvault")


def answer(words: Sequence[str]) -> int | None:
    """Run a report in the system's daemon and return its exit code, None where it is to run here.

    Raises NotPermitted for someone who is not in the group, and DaemonNotRunning.
    """
    if os.geteuid() == 0 or not _SYSTEM_FOLDER.exists():
        return None
    from chatvault.config.environment import current_environ
    from chatvault.control.reading import is_reading

    if not is_reading(words):
        return None
    context = Context(GlobalOptions(), current_environ(), is_root=False)
    places = context.places
    if not places.is_system or os.access(places.database, os.R_OK):
        return None
    found = context.control().get("/v1/reading", {"words": "\n".join(words)})
    sys.stdout.write(str(found.get("out", "")))
    sys.stderr.write(str(found.get("err", "")))
    code = found.get("exit_code")
    return code if isinstance(code, int) else 1
