"""The tools of OpenAI's Chat Completions, and the choice among them, through the allow-list."""

from collections.abc import Mapping
from typing import Any, cast

from chatvault.core.chat import NamedTool, Tool, ToolChoice
from chatvault.gateway.dialects.fields import (
    Dropped,
    as_bool,
    as_object,
    as_text,
    cache_mark,
    optional,
    refuse,
)

OLD_FORM = "'functions' and 'function_call' are the old form"
_MAX_TOOLS = 512


def parse_tools(value: object, dropped: Dropped) -> tuple[Tool, ...]:
    """Turn the wire's list into tools. Raises RequestError."""
    if not isinstance(value, list) or len(value) > _MAX_TOOLS:
        raise refuse(f"'tools' must be a list of at most {_MAX_TOOLS} tools", "tools")
    return tuple(_tool(item, f"tools[{index}]", dropped) for index, item in enumerate(value))


def _tool(value: object, path: str, dropped: Dropped) -> Tool:
    tool = as_object(value, path)
    if tool.get("type", "function") != "function":
        raise refuse(
            f"'{path}.type' must be function: other kinds of tools are not served here", f"{path}.type"
        )
    function = as_object(tool.get("function"), f"{path}.function")
    for key in tool.keys() - {"type", "function", "cache_control"}:
        dropped.add(f"tools.{key}")
    for key in function.keys() - {"name", "description", "parameters", "strict", "cache_control"}:
        dropped.add(f"tools.function.{key}")
    where = f"{path}.function"
    name = as_text(function.get("name"), f"{where}.name")
    if not name:
        raise refuse(f"'{where}.name' can't be empty", f"{where}.name")
    mark = tool.get("cache_control") or function.get("cache_control")
    return Tool(
        name,
        optional(function, "description", where, as_text),
        parameters=optional(function, "parameters", where, as_object),
        strict=optional(function, "strict", where, as_bool),
        cache=cache_mark(mark, f"{path}.cache_control"),
    )


def parse_choice(value: object) -> ToolChoice:
    """Turn the wire's `tool_choice` into a choice. Raises RequestError."""
    if value in ("none", "auto", "required"):
        return cast(ToolChoice, value)
    if isinstance(value, Mapping) and value.get("type") == "function":
        function = as_object(value.get("function"), "tool_choice.function")
        return NamedTool(as_text(function.get("name"), "tool_choice.function.name"))
    raise refuse("'tool_choice' must be none, auto, required or name a function", "tool_choice")


def fit_choice(values: dict[str, Any]) -> None:
    """Leave out what is said of tools where there are none. Raises RequestError where a call is demanded.

    Clients send `tool_choice: "auto"` and `parallel_tool_calls` beside an empty list or none at all, and
    providers refuse them so.
    """
    if values.get("tools"):
        return
    values.pop("parallel_tool_calls", None)
    if values.pop("tool_choice", "auto") not in ("none", "auto"):
        raise refuse("'tool_choice' asks for a call of a tool, but there are no 'tools'", "tool_choice")
