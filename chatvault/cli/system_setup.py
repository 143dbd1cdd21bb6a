"""What the system's service needs before its settings are written: its user, and folders it owns."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from chatvault.cli import unit_files, unit_install
from chatvault.cli.context import Context
from chatvault.errors import NotPermitted, UsageError

_TOOLS = {"sysusers.d": ["systemd-sysusers"], "tmpfiles.d": ["systemd-tmpfiles", "--create"]}


def preparation(context: Context) -> Callable[[], None]:
    """Return what makes user and folders. Raises NotPermitted, UsageError where they can't be made."""
    if os.geteuid() != 0:
        raise NotPermitted("the system's service is root's to set up", hint="sudo chatvault init --system")
    if not context.places.is_system:
        raise UsageError(
            "CHATVAULT_HOME names one folder for everything, so there is no system's service",
            hint="unset CHATVAULT_HOME",
        )
    return _prepare


def _prepare() -> None:
    with tempfile.TemporaryDirectory(prefix="chatvault-") as folder:
        for file in unit_files.system_files(Path("chatvault"), (), root=Path(folder)):
            tool = _TOOLS.get(file.path.parent.name)
            if tool is not None:
                file.path.parent.mkdir(parents=True)
                file.path.write_text(file.text, encoding="utf-8")
                unit_install.run([*tool, str(file.path)])
