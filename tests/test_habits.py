"""Habits of the source that no linter knows: core's purity, who reads the environment, who catches what."""

import ast
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "chatvault"
# These would ask the machine's clock, or reach out of the process.
_IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input", "breakpoint"}
_ENVIRONMENT = {"environ", "environb", "getenv", "putenv", "unsetenv"}
# litellm is told how to behave through the environment alone.
_MAY_READ_ENVIRONMENT = ("config/", "providers/litellm_door.py")
_MAY_CATCH_ANYTHING = ("daemon/supervisor.py", "store/group_commit.py")


@cache
def _trees() -> dict[str, ast.Module]:
    return {
        path.relative_to(_SOURCE).as_posix(): ast.parse(path.read_text())
        for path in sorted(_SOURCE.rglob("*.py"))
    }


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler raises again, or hands the error to whoever asked; to log it is neither."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call) and "log" not in ast.unparse(node.func).lower():
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(argument, ast.Name) and argument.id == handler.name for argument in arguments):
                return True
    return False


def test_core_asks_no_clock_opens_no_file_and_prints_nothing() -> None:
    wrong = [
        f"{name}:{node.lineno} calls {ast.unparse(node.func)}"
        for name, tree in _trees().items()
        if name.startswith("core/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _IMPURE_CALLS
    ]
    assert wrong == []


def test_the_environment_is_read_in_config_alone() -> None:
    wrong = []
    for name, tree in _trees().items():
        if name.startswith(_MAY_READ_ENVIRONMENT):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                reads = ast.unparse(node.value) == "os" and node.attr in _ENVIRONMENT
            elif isinstance(node, ast.ImportFrom):
                reads = node.module == "os" and any(alias.name in _ENVIRONMENT for alias in node.names)
            else:
                continue
            if reads:
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_whoever_catches_anything_passes_it_on() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in _trees().items()
        if name not in _MAY_CATCH_ANYTHING
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and ("" if node.type is None else ast.unparse(node.type)) in ("", "Exception", "BaseException")
        and not _goes_on(node)
    ]
    assert wrong == []
