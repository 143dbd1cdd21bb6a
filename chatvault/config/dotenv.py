"""`.env` files: NAME=VALUE lines, with quotes, comments and `export`; nothing is expanded."""

import re
from pathlib import Path

from chatvault.errors import ConfigError, NotPermitted

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def read(path: Path) -> dict[str, str]:
    """Read `path`; no such file is no names. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be read: that is not yours to do", hint="sudo") from exc
    except OSError as exc:
        raise ConfigError(
            f"can't be read: {exc.strerror}", hint="check who may read it: ls -l", path=str(path)
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError("is not UTF-8 text", hint="save it as UTF-8", path=str(path)) from exc
    return parse(text, path)


def parse(text: str, path: Path) -> dict[str, str]:
    """Parse the text of a `.env` file; the last of two lines with one name counts. Raises ConfigError."""
    names: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ConfigError(
                "expected NAME=VALUE",
                hint="one a line; chatvault keys set PROVIDER writes it for you",
                path=str(path),
                line=number,
            )
        try:
            names[match[1]] = _value(match[2])
        except ValueError as exc:
            raise ConfigError(
                f"{match[1]}: {exc}", hint="put the value in single quotes", path=str(path), line=number
            ) from exc
    return names


def _value(text: str) -> str:
    if text[:1] not in ("'", '"'):
        # A # opens a comment only after a space: keys may hold one.
        return re.split(r"\s#", f" {text}", maxsplit=1)[0].strip()
    quote, out, index = text[0], [], 1
    while index < len(text) and text[index] != quote:
        if quote == '"' and text[index] == "\\" and text[index + 1 : index + 2] in _ESCAPES:
            index += 1
            out.append(_ESCAPES[text[index]])
        else:
            out.append(text[index])
        index += 1
    if index >= len(text):
        raise ValueError("a quote is opened and never closed")
    rest = text[index + 1 :].strip()
    if rest and not rest.startswith("#"):
        raise ValueError("something stands after the closing quote")
    return "".join(out)


def with_value(text: str, name: str, value: str) -> str:
    """Return the text of a `.env` file with `name` set to `value`, every other line as it was.

    Raises ValueError where the name is no variable's, or the value holds a line break.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no variable's name")
    if any(char in value for char in "\r\n\0"):
        raise ValueError("a key can't hold a line break")
    line = f"{name}={_written(value)}"
    lines = text.splitlines()
    found = [index for index, each in enumerate(lines) if _names(each) == name]
    if not found:
        return "".join(f"{each}\n" for each in [*lines, line])
    lines[found[-1]] = line
    return "".join(f"{each}\n" for index, each in enumerate(lines) if index not in found[:-1])


def _names(line: str) -> str | None:
    match = _LINE.fullmatch(line.strip())
    return match[1] if match else None


def _written(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._~+/=:@%-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
