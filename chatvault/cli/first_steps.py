"""The steps of `init`: look, ask, show what would be written, write."""

from collections.abc import Callable
from dataclasses import replace

from chatvault.cli import first_run, output, prompt
from chatvault.cli.context import Context
from chatvault.cli.first_run import Found, Plan
from chatvault.cli.key_desk import KEYED_KINDS
from chatvault.config import dotenv
from chatvault.config.keys import default_variable, set_key
from chatvault.core.json_types import JsonObject
from chatvault.core.secret import Secret
from chatvault.errors import AlreadyRunning, UsageError

_TITLES = {"anthropic": "Anthropic", "deepseek": "DeepSeek"}


def run(context: Context, *, is_asking: bool, prepare: Callable[[], None] | None = None) -> JsonObject:
    """Go through the steps and return what was done. Raises UsageError where the answer is no.

    `prepare` is called before anything is written.
    """
    output.talk("Setting up ChatVault. Nothing is written before the last step.")
    output.talk()
    output.talk("1/3  Local models")
    found = first_run.look_around(context)
    for line in _local_lines(found):
        output.talk(f"     {line}")
    output.talk("2/3  Paid providers")
    keys = _ask_for_keys(context, found) if is_asking else {}
    for kind in found.keyed:
        output.talk(f"     ✓ {_TITLES[kind]}: {_where_its_key_is(context, kind)}")
    found = replace(found, keyed=tuple(kind for kind in KEYED_KINDS if kind in found.keyed or kind in keys))
    planned = first_run.plan(context, first_run.providers_for(found))
    output.talk("3/3  Write")
    changes = _changes(context, planned, keys)
    for change in changes:
        output.talk(f"     {change}")
    if is_asking and not prompt.yes("     Write these?"):
        raise UsageError("nothing was written", hint="chatvault init")
    if prepare is not None:
        prepare()
    _write(context, planned, keys)
    for provider in planned.by_hand:
        output.talk(f"     Add this below `providers:` yourself:  {provider.line}")
    output.talk()
    if prepare is None:
        output.talk("Next:  chatvault serve              run it in this terminal")
    else:
        output.talk("Next:  chatvault systemd install    run it as a service")
    output.talk("       chatvault tokens add phone   let your first device in")
    return {"written": changes, "providers_added": [each.name for each in planned.added]}


def _local_lines(found: Found) -> list[str]:
    if found.ollama is not None:
        count = len(found.ollama.models)
        line = f"✓ Ollama {found.ollama.version} · {count} model{'' if count == 1 else 's'}"
        return [line] if count else [line, "! it has no model yet:  ollama pull llama3.2:3b"]
    if found.has_embedded:
        return [
            "- no Ollama answers on this machine",
            "✓ the embedded model (SmolLM2, 135 M parameters, CPU)",
        ]
    return ["- no Ollama answers on this machine:  ollama serve, then chatvault init again"]


def _where_its_key_is(context: Context, kind: str) -> str:
    name = default_variable(kind)
    if name not in context.environ or name in dotenv.read(context.places.env_file):
        return "its key is set already"
    # It is this shell's alone: a service, or another terminal, would start without it.
    return f"{name} was found in the environment: export it for serve too, or chatvault keys set {kind}"


def _ask_for_keys(context: Context, found: Found) -> dict[str, Secret]:
    keys = {}
    for kind in KEYED_KINDS:
        if kind in found.keyed:
            continue
        typed = prompt.hidden(f"     {_TITLES[kind]} API key (hidden, Enter skips): ").strip()
        if typed:
            keys[kind] = Secret(typed)
            output.talk(f"     ✓ {keys[kind].masked()}")
    return keys


def _changes(context: Context, planned: Plan, keys: dict[str, Secret]) -> list[str]:
    places = context.places
    changes = []
    if planned.text is not None:
        what = "new" if planned.is_new else "added"
        changes.append(f"{places.config}   {what}: {first_run.names(planned.added)}")
    if keys:
        changes.append(f"{places.env_file}   {', '.join(default_variable(kind) for kind in keys)}")
    if not places.database.exists():
        changes.append(f"{places.database}   access tokens (hashed), ledger, audit chain")
    return changes or ["nothing to change"]


def _write(context: Context, planned: Plan, keys: dict[str, Secret]) -> None:
    from chatvault.config.files import write_private

    places = context.places
    # The keys first: settings that name a key that isn't there yet would be an error.
    for kind, key in keys.items():
        set_key(places.env_file, default_variable(kind), key.reveal())
    if planned.text is not None:
        write_private(places.config, planned.text)
    if not places.database.exists():
        try:
            with context.store():
                pass
        except AlreadyRunning:
            output.talk("     A daemon is running: it makes the database itself.")
