"""What the providers have in common whose requests litellm translates."""

from chatvault.errors import ConfigError
from chatvault.providers import litellm_door
from chatvault.providers.base import ProviderSettings, Resources
from chatvault.providers.http import HttpClient


def translated_client(name: str, settings: ProviderSettings, resources: Resources) -> HttpClient:
    """Return a provider's client, and begin to load litellm. Raises ConfigError without a key."""
    if settings.api_key is None:
        raise ConfigError(f"providers.{name}: api_key is missing", hint=f"chatvault keys set {name}")
    client = HttpClient(settings.base_url, read_timeout=settings.timeout_seconds, environ=resources.environ)
    litellm_door.warm_up(resources.spawn)
    return client
