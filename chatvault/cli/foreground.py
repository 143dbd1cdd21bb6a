"""Running the daemon in this very process: `serve`, and `tunnel up --foreground`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from chatvault.cli import output
from chatvault.cli.context import Context

if TYPE_CHECKING:
    from chatvault.config.settings import Settings
    from chatvault.providers.base import ProviderSettings

AnySettings: TypeAlias = "Settings[ProviderSettings]"


def run_daemon(context: Context, adapt: Callable[[AnySettings], AnySettings]) -> int:
    """Run the daemon and return its exit code; `adapt` makes the command's options part of the settings."""
    from chatvault.cli import first_run
    from chatvault.daemon.run import serve

    context.is_own = True
    if not context.places.config.exists():
        first_run.write_defaults(context)

    def load() -> AnySettings:
        return adapt(context.settings(are_secrets_needed=True))

    settings = load()
    first_run.complain_of_open_files(context)
    return serve(settings, context.places, load=load, environ=context.environ, announce=output.talk)
