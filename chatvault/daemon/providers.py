"""A provider of the settings, built; what is wrong with it is told with its line."""

from pathlib import Path

from chatvault.config.settings import ProviderEntry
from chatvault.errors import ConfigError
from chatvault.providers import registry
from chatvault.providers.base import Provider, ProviderSettings, Resources


def build_provider(entry: ProviderEntry[ProviderSettings], path: Path, resources: Resources) -> Provider:
    """Build a provider that stands in the settings file `path`. Raises ConfigError with file and line."""
    try:
        return registry.build(entry.kind, entry.name, entry.settings, resources)
    except ConfigError as exc:
        message = (
            f"providers.{entry.name}.{exc.message}" if exc.message.startswith("base_url: ") else exc.message
        )
        raise ConfigError(
            message,
            hint=exc.hint or "chatvault config show shows what is in force",
            path=exc.path or str(path),
            line=exc.line or entry.line,
        ) from exc
