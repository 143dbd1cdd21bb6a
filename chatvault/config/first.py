"""The settings that `init` writes: short, and added to without touching a line that is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from chatvault.config.document import entries, is_null, parse

_HEAD = """\
# ChatVault's settings. What else may stand here: config.example.yaml, or `chatvault config show`.
# After a change: chatvault config check, then chatvault config reload

server:
  host: 127.0.0.1            # this machine only
  port: 4000

"""
_TAIL = """
# Names of your own, such as  fast: {routes: ["ollama/llama3.2:3b", "deepseek/deepseek-flash"]}
models: {}

# What all access tokens together may spend; each may have a budget of its own: chatvault tokens add --budget
# limits: {budget: {usd: 5.00, per: day}}
"""


@dataclass(frozen=True, slots=True)
class FirstProvider:
    """A provider to write down: its name, and the rest as it stands in YAML's braces."""

    name: str
    body: str

    @property
    def line(self) -> str:
        """The provider as one line of YAML."""
        return f"{self.name}: {{{self.body}}}"


def first_provider(kind: str, *, variable: str | None = None) -> FirstProvider:
    """Return a provider named after its kind, its key in `variable` where it has one."""
    key = f', api_key: "env:{variable}"' if variable else ""
    return FirstProvider(kind, f"kind: {kind}{key}")


def first_settings(providers: Sequence[FirstProvider]) -> str:
    """Return the text of a new config.yaml."""
    lines = "".join(f"  {each.line}\n" for each in providers)
    return f"{_HEAD}providers:\n{lines}{_TAIL}"


def with_providers(text: str, providers: Sequence[FirstProvider], path: Path) -> str | None:
    """Return `text` with `providers` added to its section, every other line as it is.

    None where the section is written in a way that can't be added to line by line. Raises ConfigError.
    """
    lines = text.splitlines()
    section = _section(text, path)
    if section is None:
        added = [*([""] if lines else []), "providers:", *(f"  {each.line}" for each in providers)]
        return "\n".join([*lines, *added]) + "\n"
    key, value = section
    at, indent = key.start_mark.line + 1, "  "
    if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
        first = value.value[0][0].start_mark
        if first.line != key.start_mark.line:
            at, indent = first.line, " " * first.column
    elif not (is_null(value) and value.start_mark.index == value.end_mark.index):
        return None
    return "\n".join([*lines[:at], *(f"{indent}{each.line}" for each in providers), *lines[at:]]) + "\n"


def _section(text: str, path: Path) -> tuple[yaml.Node, yaml.Node] | None:
    root = parse(text, path)
    if not isinstance(root, yaml.MappingNode):
        return None
    return next(((key, value) for name, key, value in entries(root, path, "") if name == "providers"), None)
