"""What commands work with, made when it is asked for: places, settings, the database, the running daemon.

Beside the daemon's own root of composition this is the one place that knows the settings and what is built
from them.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from chatvault.errors import ChatVaultError, DaemonNotRunning, UsageError

if TYPE_CHECKING:
    from chatvault.config.places import Places
    from chatvault.config.settings import Settings
    from chatvault.control.client import ControlClient
    from chatvault.core.json_types import JsonObject
    from chatvault.providers.base import ProviderSettings
    from chatvault.store.reader import Reader
    from chatvault.store.transaction import Transaction
    from chatvault.store.writer import Store


_UNITS = tuple(
    Path(folder, "chatvault.service")
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
)


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options that stand before the command."""

    config: Path | None = None
    is_debug: bool = False


class Context:
    """One command's surroundings."""

    def __init__(self, options: GlobalOptions, environ: Mapping[str, str], *, is_root: bool) -> None:
        self.options = options
        self.environ = environ
        self._is_root = is_root
        # Set by what starts or sets up an instance: that one is the caller's own.
        self.is_own = False

    @classmethod
    def of(cls, ctx: Any) -> "Context":
        """Return the context of a running command (`ctx` is typer's)."""
        from chatvault.config.environment import current_environ, is_root

        options = ctx.obj if isinstance(ctx.obj, GlobalOptions) else GlobalOptions()
        return cls(options, current_environ(), is_root=is_root())

    @cached_property
    def places(self) -> "Places":
        """Where everything lies."""
        from chatvault.config.places import find_places

        config = self.options.config
        own = find_places(self.environ, is_root=self._is_root, config_override=config)
        is_elsewhere = own.is_system or config is not None or "CHATVAULT_HOME" in self.environ
        if is_elsewhere or self.is_own or own.config.exists() or own.database.exists():
            return own
        system = find_places({}, is_root=True)
        # A user without an instance of their own means the machine's.
        return system if system.state_dir.exists() else own

    def settings(self, *, are_secrets_needed: bool = False) -> "Settings[ProviderSettings]":
        """Read the settings. Raises ConfigError."""
        from chatvault.config.load import load
        from chatvault.providers.registry import KINDS, settings_type

        return load(
            self.places.config,
            provider_settings=settings_type,
            kinds=KINDS,
            environ=self.environ,
            env_file=self.places.env_file,
            credentials_dir=self.places.credentials_dir,
            are_secrets_needed=are_secrets_needed,
        )

    def control(self, *, timeout: float = 30.0) -> "ControlClient":
        """Return what asks the running daemon; it may take `timeout` seconds to answer."""
        from chatvault.control.client import ControlClient

        is_service = self.places.is_system and any(unit.exists() for unit in _UNITS)
        start = "systemctl start chatvault" if is_service else "chatvault serve"
        return ControlClient(self.places.control_socket, timeout=timeout, start=start)

    @contextmanager
    def reader(self) -> Iterator["Reader"]:
        """Open the database for reading; it works beside a running daemon. Raises StoreError."""
        from chatvault.store.reader import Reader

        if not self.places.database.exists():
            raise ChatVaultError(
                f"there is no database at {self.places.database}", hint="chatvault serve makes it"
            )
        reader = Reader.open(self.places.database)
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def store(self, *, accepts_doubt: bool = False) -> Iterator["Store"]:
        """Open the database for writing, under the writer's lock; `accepts_doubt` is `Store.open`'s.

        Raises AlreadyRunning, StoreError."""
        from chatvault.config.files import ensure_private_folder
        from chatvault.config.service_user import acting_as_service
        from chatvault.control.lock import WriterLock
        from chatvault.store.signing import Signer
        from chatvault.store.writer import Store

        with acting_as_service(self.places):
            ensure_private_folder(self.places.run_dir)
            ensure_private_folder(self.places.state_dir)
            with WriterLock.acquire(self.places.lock):
                signer = Signer(self.places.keys_dir)
                store = Store.open(
                    self.places.database,
                    now_ms=self.now_ms,
                    signer=signer,
                    accepts_doubt=accepts_doubt,
                )
                try:
                    yield store
                finally:
                    store.close()

    def change(
        self, path: str, fields: "JsonObject", change: "Callable[[Transaction], JsonObject]"
    ) -> "JsonObject":
        """Have the running daemon change something (POST `fields` to `path`), else do it here with `change`.

        Raises what the daemon says, AlreadyRunning, StoreError, and what `change` raises.
        """
        try:
            return self.control().post(path, fields)
        except DaemonNotRunning:
            with self.store() as store:
                return store.run(change)

    def zone(self, name: str | None = None) -> ZoneInfo:
        """Return the zone `name`, else the settings', else this machine's. Raises UsageError."""
        from chatvault.config import scalars
        from chatvault.config.local_zone import local_zone
        from chatvault.config.report_zone import report_zone

        if name is None:
            return report_zone(self.places.config, self.environ)
        try:
            return local_zone(self.environ) if name == "local" else scalars.zone(name)
        except ValueError as exc:
            raise UsageError(str(exc), hint="--tz Europe/Berlin") from exc

    def now_ms(self) -> int:
        """Return the time, in epoch milliseconds."""
        return time.time_ns() // 1_000_000
