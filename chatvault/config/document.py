"""A YAML file read into nodes that know their lines, its mistakes told in people's words."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from chatvault.errors import ConfigError, NotPermitted

# libyaml where PyYAML was built with it: ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL_TAG = "tag:yaml.org,2002:null"
_MAX_BYTES = 4_000_000


def read_document(path: Path) -> yaml.Node | None:
    """Read `path` and return its root node, None where it holds nothing. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise ConfigError("there is no such file", hint="chatvault init", path=str(path)) from exc
    except IsADirectoryError as exc:
        raise ConfigError(
            "this is a folder, not a file", hint="name the file in it: --config PATH", path=str(path)
        ) from exc
    except NotADirectoryError as exc:
        raise ConfigError(
            "lies below a file, not a folder", hint="set CHATVAULT_HOME to a folder", path=str(path)
        ) from exc
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be read: that is not yours to do", hint="sudo") from exc
    except OSError as exc:
        raise ConfigError(
            f"can't be read: {exc.strerror}", hint="check who may read it: ls -l", path=str(path)
        ) from exc
    if len(data) > _MAX_BYTES:
        raise ConfigError("is too long for a settings file", hint="is it the right one?", path=str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError("is not UTF-8 text", hint="save it as UTF-8", path=str(path), line=line) from exc
    return parse(text, path)


def parse(text: str, path: Path) -> yaml.Node | None:
    """Parse `text`, which stands in `path`. Raises ConfigError with the line of what is wrong."""
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark is not None else None
        message, hint = _in_words(exc, text.splitlines(), line)
        raise ConfigError(message, hint=hint, path=str(path), line=line) from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1 if isinstance(exc.position, int) else None
        raise ConfigError(
            "holds a character YAML doesn't allow", hint="delete it", path=str(path), line=line
        ) from exc
    except RecursionError as exc:
        raise ConfigError(
            "is nested too deeply", hint="config.example.yaml shows the shape", path=str(path)
        ) from exc
    finally:
        loader.dispose()


def _in_words(exc: yaml.MarkedYAMLError, lines: list[str], line: int | None) -> tuple[str, str | None]:
    here = lines[line - 1] if line is not None and line <= len(lines) else ""
    # The parser may only notice on the line after the one that starts with a tab.
    before = lines[line - 2] if line is not None and 2 <= line <= len(lines) + 1 else ""
    problem = exc.problem or "unreadable"
    if any(re.match(r" *\t", each) for each in (here, before)):
        return "a tab indents this line or the one before", "indent with spaces: YAML takes nothing else"
    if "expected a single document" in f"{exc.context} {problem}":
        return "a second document begins here", "delete the line with ---"
    if "undefined alias" in problem:
        return "a value that starts with * needs quotes", 'write it as "*"'
    if "mapping values are not allowed" in problem:
        return "this line has one colon too many, or wrong indentation", (
            'put the value in quotes if it holds ": ", and indent it like its neighbours'
        )
    if "cannot start any token" in problem:
        return "a value starts with a character YAML keeps for itself", "put the value in quotes"
    if "quoted scalar" in f"{exc.context}" and "end of stream" in problem:
        return "a quote is opened and never closed", "close it on the same line"
    if "flow" in f"{exc.context}":
        return "a [ or { is not closed, or a comma is missing", "close it, or write one item a line"
    if "block mapping" in f"{exc.context}" or "could not find expected ':'" in problem:
        return (
            "expected `key: value` here, indented like its neighbours",
            "check the colon and the indentation",
        )
    return f"is not valid YAML: {problem}", "check the indentation and the quotes"


def line_of(node: yaml.Node) -> int | None:
    """Return the line, from 1, that `node` starts on."""
    return node.start_mark.line + 1 if node.start_mark is not None else None


def is_null(node: yaml.Node) -> bool:
    """Whether `node` says null, or nothing."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL_TAG


def entries(node: yaml.MappingNode, path: Path, where: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Yield each key's text, its node and its value's.

    Raises ConfigError on a key that stands there twice, or is no text.
    """
    seen: dict[str, int | None] = {}
    for key, value in node.value:
        line = line_of(key)
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(
                f"{where or 'the file'}: a key must be plain text",
                hint="write `key: value` lines",
                path=str(path),
                line=line,
            )
        name = key.value
        if name in seen:
            raise ConfigError(
                f"{f'{where}.' if where else ''}{name}: stands here twice, first in line {seen[name]}",
                hint="delete one of the two",
                path=str(path),
                line=line,
            )
        seen[name] = line
        yield name, key, value
