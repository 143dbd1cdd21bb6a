"""The field names that could redirect a call, its key or its price: refused wherever they stand.

A library that is handed `api_base` from a client's body sends the provider's key to that host. None of
these names ever reaches one; that they are refused, not dropped, tells whoever sent them that it was noticed.
"""

import re
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
# One pass over the bytes clears almost every request. An escape may hide a name: look closer.
_SUSPECT = re.compile(
    rb'\\u|"(?:'
    + b"|".join(name.encode() for name in sorted(_NAMES))
    + rb"|"
    + b"|".join(prefix.encode() + rb"[^\"]*" for prefix in _PREFIXES)
    + rb')"\s*:',
    re.IGNORECASE,
)
# Where a client's own names stand: a schema's properties may be called anything, and so may arguments.
_OWN_PLACES = frozenset(
    {
        "tools.function.parameters",
        "response_format.json_schema.schema",
        "messages.tool_calls.function.arguments",
    }
)


def refuse_forbidden_names(raw: bytes, body: Mapping[str, object]) -> None:
    """Raise RequestError if `body`, decoded from `raw`, holds a forbidden name where a client has no say."""
    if _SUSPECT.search(raw) is None:
        return
    stack: list[tuple[str, object]] = [("", body)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, Mapping):
            for key, inner in value.items():
                where = f"{path}.{key}" if path else str(key)
                if is_forbidden(str(key)):
                    raise RequestError(
                        f"The field '{where}' is not accepted: where a call goes, with which key and at what"
                        " price is decided by this gateway alone.",
                        param=where,
                        code="forbidden_field",
                    )
                if where not in _OWN_PLACES:
                    stack.append((where, inner))
        elif isinstance(value, list):
            stack.extend((path, inner) for inner in value)


def is_forbidden(name: str) -> bool:
    """Whether no request may hold a field called so."""
    lowered = name.lower()
    return lowered in _NAMES or lowered.startswith(_PREFIXES)
