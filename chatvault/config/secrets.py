"""Where secrets come from: `env:NAME`, `file:PATH`, `cred:NAME`, or the settings themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chatvault.config import dotenv
from chatvault.core.secret import Secret
from chatvault.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,255}")
_PLACEHOLDERS = frozenset({"changeme", "change-me", "secret", "xxx", "todo", "sk-...", "sk-…", "sk-ant-..."})
_MAX_BYTES = 65_536


@dataclass(frozen=True)
class SecretSource:
    """Looks secrets up: the environment, then `.env`, then systemd's credentials.

    With `is_needed` False a secret that isn't there is None: commands that call no provider don't need it.
    """

    environ: Mapping[str, str]
    env_file: Path
    credentials_dir: Path | None = None
    is_needed: bool = True

    @cached_property
    def _env_file_names(self) -> Mapping[str, str]:
        return dotenv.read(self.env_file)

    def resolve(self, text: str, *, where: str, path: Path, line: int | None) -> Secret | None:
        """Return the secret that `text` stands for. Raises ConfigError, never with the secret in it."""
        value, came_from = self._look_up(text, where=where, path=path, line=line)
        if value is None:
            if not self.is_needed:
                return None
            raise ConfigError(f"{where}: {came_from}", hint=self._fix(text, where), path=str(path), line=line)
        cleaned = value.strip()
        problem = _problem(cleaned)
        if problem is not None:
            raise ConfigError(
                f"{where}: {came_from} {problem}", hint=self._fix(text, where), path=str(path), line=line
            )
        return Secret(cleaned)

    def has(self, name: str) -> bool:
        """Whether `env:NAME` would find something that can be a key."""
        value = self._from_environment(name)
        return value is not None and _problem(value.strip()) is None

    def _look_up(self, text: str, *, where: str, path: Path, line: int | None) -> tuple[str | None, str]:
        scheme, _, rest = text.partition(":")
        if scheme == "env":
            value = self._from_environment(rest)
            return (
                value,
                rest if value is not None else f"{rest} is neither in the environment nor in {self.env_file}",
            )
        if scheme == "cred":
            value = self._from_credentials(rest)
            return value, rest if value is not None else f"systemd has handed over no credential {rest!r}"
        if scheme == "file":
            file = path.parent / Path(rest).expanduser()
            return _file(file), str(file) if file.is_file() else f"{file} can't be read"
        if text.startswith("$"):
            name = text.strip("${}")
            raise ConfigError(
                f"{where}: nothing is expanded here", hint=f"write env:{name}", path=str(path), line=line
            )
        return text, "the key"

    def _from_environment(self, name: str) -> str | None:
        if name in self.environ:
            return self.environ[name]
        if name in self._env_file_names:
            return self._env_file_names[name]
        return self._from_credentials(name)

    def _from_credentials(self, name: str) -> str | None:
        # The name becomes a file's: nothing but a plain one may.
        if self.credentials_dir is None or not _NAME.fullmatch(name) or name.startswith("."):
            return None
        return _file(self.credentials_dir / name)

    def _fix(self, text: str, where: str) -> str:
        parts = where.split(".")
        provider = parts[1] if len(parts) > 2 and parts[0] == "providers" else None
        if text.startswith("env:") and provider is not None:
            command = f"chatvault keys set {provider}"
            is_there = self._from_environment(text[4:]) is not None
            return (
                command if is_there else f"{command}, or export {text[4:]} where chatvault serve is started"
            )
        if text.startswith("cred:"):
            return f"add LoadCredential={text[5:]}:PATH to the service"
        return "write the key there, or take the provider out of the settings"


def _file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return None


def _problem(value: str) -> str | None:
    if not value:
        return "is empty"
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        return "holds a line break or another control character"
    if not value.isascii() or " " in value:
        return "holds a space or a character no key has"
    if value.lower() in _PLACEHOLDERS or value.lower().startswith(("your-", "your_", "<")):
        return "is a placeholder, not a key"
    return None
