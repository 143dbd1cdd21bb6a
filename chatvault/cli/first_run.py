"""The first settings: what is found on this machine, and what is written because of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatvault.cli import output
from chatvault.cli.context import Context
from chatvault.cli.key_desk import KEYED_KINDS
from chatvault.config.first import FirstProvider, first_provider, first_settings, with_providers
from chatvault.config.keys import default_variable, source_of

if TYPE_CHECKING:
    from chatvault.providers.ollama_library import Discovery


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: an Ollama that answers, the embedded model, and the kinds whose key is set."""

    ollama: "Discovery | None"
    has_embedded: bool
    keyed: tuple[str, ...]


def look_around(context: Context) -> Found:
    """Find out what can be used without asking anyone."""
    from chatvault.providers.embedded import model_file
    from chatvault.providers.ollama_library import discover

    places = context.places
    source = source_of(context.environ, places.env_file, places.credentials_dir)
    keyed = tuple(kind for kind in KEYED_KINDS if source.has(default_variable(kind)))
    return Found(asyncio.run(discover()), model_file() is not None, keyed)


def providers_for(found: Found) -> tuple[FirstProvider, ...]:
    """Return the providers worth writing down; `echo` always is."""
    providers = []
    if found.ollama is not None:
        providers.append(first_provider("ollama"))
    elif found.has_embedded:
        providers.append(first_provider("embedded"))
    providers += [first_provider(kind, variable=default_variable(kind)) for kind in found.keyed]
    return (*providers, first_provider("echo"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written to config.yaml: `text`, None where nothing is to be; `by_hand` can't be added."""

    text: str | None
    added: tuple[FirstProvider, ...]
    by_hand: tuple[FirstProvider, ...] = ()
    is_new: bool = False


def plan(context: Context, providers: Sequence[FirstProvider]) -> Plan:
    """Work out the new config.yaml. Everything that stands in one stays. Raises ConfigError."""
    from chatvault.cli.key_desk import references

    path = context.places.config
    if not path.exists():
        return Plan(first_settings(providers), tuple(providers), is_new=True)
    there = references(context)
    known = {each.provider for each in there} | {each.kind for each in there}
    missing = tuple(each for each in providers if each.name not in known)
    if not missing:
        return Plan(None, ())
    text = with_providers(path.read_text(encoding="utf-8-sig"), missing, path)
    return Plan(None, (), missing) if text is None else Plan(text, missing)


def write_defaults(context: Context) -> None:
    """Write the settings that `init --yes` writes, and say so."""
    from chatvault.config.files import write_private

    found = look_around(context)
    planned = plan(context, providers_for(found))
    if planned.text is not None:
        write_private(context.places.config, planned.text)
    output.talk(f"No settings yet: wrote {context.places.config} ({names(planned.added)})")


def names(providers: Sequence[FirstProvider]) -> str:
    """Return the providers' names in one line."""
    return ", ".join(each.name for each in providers)


def complain_of_open_files(context: Context) -> None:
    """Say on stderr which files others can reach."""
    from chatvault.config.permissions import find_too_open

    for each in find_too_open(context.places):
        output.talk(f"Warning: {each}. Try: {each.fix}")
