"""The providers' keys: where the settings say they come from, and how one is set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from chatvault.config import dotenv
from chatvault.config.document import entries, is_null, line_of, read_document
from chatvault.config.files import write_private
from chatvault.config.secrets import SecretSource
from chatvault.core.secret import Secret
from chatvault.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True)
class KeyReference:
    """What a provider's `api_key` says (`env:NAME` …); `text` is None where it is a literal, or missing."""

    provider: str
    kind: str
    text: str | None
    line: int | None
    secret: Secret | None


def key_references(path: Path, source: SecretSource) -> tuple[KeyReference, ...]:
    """Return each provider's key and where it comes from. Raises ConfigError."""
    root = read_document(path)
    found = []
    for section, _, providers in _pairs(root, path, ""):
        if section != "providers":
            continue
        for name, key_node, node in _pairs(providers, path, "providers"):
            fields = {key: value for key, _, value in _pairs(node, path, f"providers.{name}")}
            kind, key = fields.get("kind"), fields.get("api_key")
            kind_text = kind.value if isinstance(kind, yaml.ScalarNode) else ""
            if not isinstance(key, yaml.ScalarNode) or is_null(key):
                found.append(KeyReference(name, kind_text, None, line_of(key_node), None))
                continue
            is_reference = key.value.partition(":")[0] in ("env", "file", "cred")
            secret = _resolved(source, key, f"providers.{name}.api_key", path)
            found.append(
                KeyReference(name, kind_text, key.value if is_reference else None, line_of(key), secret)
            )
    return tuple(found)


def key_files(path: Path) -> tuple[Path, ...]:
    """Return the files that providers' keys are read from (`file:PATH`). Raises ConfigError."""
    nowhere = SecretSource({}, path.parent / ".env", None, False)
    texts = (each.text or "" for each in key_references(path, nowhere))
    return tuple(path.parent / Path(text[5:]).expanduser() for text in texts if text.startswith("file:"))


def default_variable(kind: str) -> str:
    """Return the variable that the key of a provider of `kind` goes by, unless the settings say otherwise."""
    return f"{kind.upper().replace('-', '_').replace('.', '_')}_API_KEY"


def set_key(env_file: Path, name: str, value: str) -> None:
    """Write the key `value` into `.env` under `name`, 0600. Raises UsageError where it can't be a key."""
    problem = "is empty" if not value.strip() else None
    if problem is None and (not value.isascii() or any(char.isspace() for char in value.strip())):
        problem = "holds a space or a character no key has"
    if problem is not None:
        raise UsageError(f"the key {problem}", hint="paste it again, alone")
    try:
        before = env_file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("can't be read", hint="check who may read it: ls -l", path=str(env_file)) from exc
    dotenv.parse(before, env_file)
    write_private(env_file, dotenv.with_value(before, name, value.strip()))


def source_of(environ: Mapping[str, str], env_file: Path, credentials_dir: Path | None) -> SecretSource:
    """Return where secrets are looked up, a missing one being no error."""
    return SecretSource(environ, env_file, credentials_dir, False)


def _resolved(source: SecretSource, node: yaml.ScalarNode, where: str, path: Path) -> Secret | None:
    try:
        return source.resolve(node.value, where=where, path=path, line=line_of(node))
    except ConfigError:
        return None


def _pairs(node: yaml.Node | None, path: Path, where: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
    return list(entries(node, path, where)) if isinstance(node, yaml.MappingNode) else []
