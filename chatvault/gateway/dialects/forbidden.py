"""The field names that could redirect a call, its key or its price: refused wherever they stand.

A library that is handed `api_base` from a client's body sends the provider's key to that host. None of
these names ever reaches one; that they are refused, not dropped, tells whoever sent them that it was noticed.
"""

from collections.abc import Mapping

from chatvault.errors import RequestError

_NAMES = frozenset(
    {
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "base_model",
        "base_url",
        "callbacks",
        "custom_llm_provider",
        "custom_prompt_dict",
        "deployment_id",
        "extra_body",
        "extra_headers",
        "extra_query",
        "failure_callback",
        "fallbacks",
        "headers",
        "input_callback",
        "input_cost_per_token",
        "mock_response",
        "model_info",
        "model_list",
        "organization",
        "output_cost_per_token",
        "proxy_server_request",
        "router_settings",
        "ssl_verify",
        "success_callback",
        "user_config",
    }
)
_PREFIXES = ("litellm_", "aws_", "azure_", "vertex_", "mock_")
# The names of almost all keys there are; none of them is forbidden, and a look into a set is all they cost.
_ORDINARY = frozenset(
    {
        "arguments",
        "cache_control",
        "content",
        "function",
        "id",
        "image_url",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "name",
        "role",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_call_id",
        "tool_calls",
        "tools",
        "type",
        "url",
    }
)
# Where a client's own names stand: a schema's properties may be called anything, and so may arguments.
_OWN_PLACES = frozenset(
    {
        "tools.function.parameters",
        "response_format.json_schema.schema",
        "messages.tool_calls.function.arguments",
    }
)
# A union written out would be made anew at each look.
_CONTAINERS = (dict, list)


def refuse_forbidden_names(body: Mapping[str, object]) -> None:
    """Raise RequestError if a decoded body holds a forbidden name where a client has no say.

    It costs by the number of keys: a long text costs nothing.
    """
    stack: list[tuple[str, object]] = [("", body)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if key not in _ORDINARY and is_forbidden(key):
                    raise _refusal(_where(path, key))
                if isinstance(inner, _CONTAINERS):
                    where = _where(path, key)
                    if where not in _OWN_PLACES:
                        stack.append((where, inner))
        elif isinstance(value, list):
            for inner in value:
                if isinstance(inner, _CONTAINERS):
                    stack.append((path, inner))


def _where(path: str, key: str) -> str:
    # Cut, or a thousand long names within each other would make a thousand paths of megabytes.
    return f"{path}.{key[:64]}" if path else key[:64]


def _refusal(where: str) -> RequestError:
    return RequestError(
        f"The field '{where}' is not accepted: where a call goes, with which key and at what price is decided"
        " by this gateway alone.",
        param=where,
        code="forbidden_field",
    )


def is_forbidden(name: str) -> bool:
    """Whether no request may hold a field called so."""
    lowered = name.lower()
    return lowered in _NAMES or lowered.startswith(_PREFIXES)
