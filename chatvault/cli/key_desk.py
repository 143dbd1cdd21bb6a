"""What `keys` does: which variable a provider's key goes by, and writing it where the settings look."""

from chatvault.cli.context import Context
from chatvault.config.keys import KeyReference, default_variable, key_references, set_key, source_of
from chatvault.core.json_types import JsonObject
from chatvault.errors import ConfigError, UsageError

# The kinds that always need a key: `init` adds them as soon as there is one.
KEYED_KINDS = ("anthropic", "deepseek")


def references(context: Context) -> tuple[KeyReference, ...]:
    """Return each provider's key, none where there are no settings yet."""
    places = context.places
    if not places.config.exists():
        return ()
    return key_references(places.config, source_of(context.environ, places.env_file, places.credentials_dir))


def variable(context: Context, provider: str) -> str:
    """Return the variable that `provider`'s key goes by. Raises UsageError where none would be read."""
    for each in references(context):
        if each.provider != provider:
            continue
        scheme, _, name = (each.text or "").partition(":")
        if scheme == "env":
            return name
        if each.text is not None:
            raise UsageError(
                f"{provider}'s key comes from {each.text}",
                hint=f"change it there, or write env:NAME in {context.places.config}",
            )
        raise UsageError(
            f"{provider} has no api_key in {context.places.config} that names a variable",
            hint=f"write api_key: env:{default_variable(provider)} in line {each.line}",
        )
    if provider in KEYED_KINDS:
        return default_variable(provider)
    raise UsageError(
        f"no provider is called {provider!r} in {context.places.config}", hint="chatvault keys list"
    )


def store(context: Context, provider: str, name: str, value: str) -> list[str]:
    """Write the key, and return what to tell: where it went, what hides it, what to do next."""
    places = context.places
    set_key(places.env_file, name, value)
    lines = [f"{name} is set in {places.env_file}"]
    if name in context.environ and context.environ[name] != value.strip():
        lines.append(f"But the environment has another {name}, and that one counts.")
    if provider not in {each.provider for each in references(context)}:
        lines.append("Next:  chatvault init    adds the provider to the settings")
    else:
        lines.append("Next:  chatvault config reload    a running daemon takes it over")
    return lines


def listed(context: Context) -> tuple[JsonObject, ...]:
    """Return each provider's key: masked, and where it comes from."""
    if not context.places.config.exists():
        raise ConfigError("there is no such file", hint="chatvault init", path=str(context.places.config))
    return tuple(
        {
            "provider": each.provider,
            "kind": each.kind,
            "from": each.text or ("the settings" if each.secret is not None else None),
            "key": each.secret.masked() if each.secret is not None else ("missing" if each.text else None),
        }
        for each in references(context)
    )
