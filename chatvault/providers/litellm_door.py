"""The one door to litellm: what it knows of providers' requests, and nothing of its network.

Importing it takes seconds of processor time and some 150 MB, and would fetch a price list. So it happens in
a thread, when a provider that needs it is configured; requests that come sooner wait, and the loop goes on.
Three things keep the loop's pauses short meanwhile: garbage collection rests (its full passes over litellm's
hundreds of thousands of objects were the longest pauses), the interpreter changes threads ten times as often,
and afterwards all that was made is taken out of later collections.

litellm is called for two steps that only compute, `map_openai_params` and `transform_request`. It is told to
fetch no images, and is never handed a key.
"""

# ruff: noqa: TID251  litellm is told how to behave through the environment alone, and reads it when imported.

import asyncio
import gc
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from chatvault.errors import ProviderFailed, RequestError

_SWITCH_SECONDS = 0.0005
_WARM_UP_DELAY_SECONDS = 1.0
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_TELEMETRY": "False",
    # Outside this mode it reads a `.env` of the working directory into the environment.
    "LITELLM_MODE": "PRODUCTION",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",
}
_NAME = re.compile(r"^(litellm\.)?(\w+Error: )*")
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
# What its transformations raise for input that they can't make sense of, beside its own exceptions.
_MISFITS = (ValueError, TypeError, KeyError, IndexError, AttributeError)

_lock = threading.Lock()
_future: "Future[Litellm] | None" = None
_is_warming = False


@dataclass(frozen=True, slots=True)
class AnthropicRequest:
    """A translated request.

    `headers` are needed beside the usual ones. `tool_names` turns tool names that had to be changed back into
    the client's. `json_tool` is the tool that stands in for a schema, where one does.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    tool_names: dict[str, str]
    json_tool: str | None


class Litellm:
    """What is used of litellm, once it is imported."""

    def __init__(self) -> None:
        import litellm
        from litellm.constants import RESPONSE_FORMAT_TOOL_NAME
        from litellm.llms.anthropic.chat.transformation import (
            ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY,
            AnthropicConfig,
        )
        from litellm.llms.base_llm.chat.transformation import BaseLLMException
        from litellm.llms.deepseek.chat.transformation import DeepSeekChatConfig

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        self._json_tool: str = RESPONSE_FORMAT_TOOL_NAME
        self._names_key: str = ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY
        self._anthropic = AnthropicConfig()
        self._deepseek = DeepSeekChatConfig()
        self._own: tuple[type[Exception], ...] = (BaseLLMException, litellm.exceptions.BadRequestError)
        self._refusals: tuple[type[Exception], ...] = (*self._own, *_MISFITS)
        self._rehearse()

    def anthropic_request(
        self, model: str, messages: list[dict[str, Any]], options: dict[str, Any]
    ) -> AnthropicRequest:
        """Return the Messages request for `messages` and `options`, which are in OpenAI's words.

        Raises RequestError for what can't be translated.
        """
        headers: dict[str, str] = {}
        notes: dict[str, Any] = {"drop_params": True}
        top_k = options.pop("top_k", None)
        own_tools = {tool["function"]["name"] for tool in options.get("tools", ())}
        try:
            mapped = self._anthropic.map_openai_params(options, {}, model, True)
            mapped.pop("json_mode", None)
            if top_k is not None:
                mapped["top_k"] = top_k
            body = self._anthropic.transform_request(model, messages, mapped, notes, headers)
        except self._refusals as exc:
            raise self._misfit(exc) from exc
        sent = {tool.get("name") for tool in body.get("tools", ())}
        has_json_tool = self._json_tool in sent and self._json_tool not in own_tools
        names = notes.get(self._names_key) or {}
        return AnthropicRequest(body, headers, names, self._json_tool if has_json_tool else None)

    def deepseek_request(
        self, model: str, messages: list[dict[str, Any]], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the body of a DeepSeek request; see `anthropic_request`."""
        try:
            mapped = self._deepseek.map_openai_params(options, {}, model, True)
            body: dict[str, Any] = self._deepseek.transform_request(
                model, messages, mapped, {"drop_params": True}, {}
            )
        except self._refusals as exc:
            raise self._misfit(exc) from exc
        return body

    def _rehearse(self) -> None:
        # What litellm puts off until the first call would hold up the loop then.
        call: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]
        options = {
            "max_tokens": 4096,
            "stream": True,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
            "tool_choice": "auto",
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        }
        for model in ("claude-haiku-4-5", "claude-sonnet-5-5"):
            self.anthropic_request(model, deepcopy(messages), deepcopy(options))
        self.deepseek_request("deepseek-flash", deepcopy(messages), deepcopy(options))

    def _misfit(self, exc: Exception) -> RequestError:
        # Its own words may quote the prompt after the first line; a misfit's quote anything.
        if isinstance(exc, self._own):
            words = _NAME.sub("", str(getattr(exc, "message", exc)).partition("\n")[0])[:300]
            return RequestError(f"The request can't be translated for this provider: {words}")
        return RequestError("The request can't be translated for this provider.")


def begin() -> "Future[Litellm]":
    """Begin the import, unless it has begun; return what it will end in."""
    global _future
    with _lock:
        if _future is None:
            _future = Future()
            _future.set_running_or_notify_cancel()
            threading.Thread(target=_load, args=(_future,), name="litellm-import", daemon=True).start()
        return _future


async def ready() -> Litellm:
    """Return litellm, beginning its import if need be; other tasks go on meanwhile. Raises ProviderFailed."""
    future = begin()
    if not future.done():
        return await asyncio.wrap_future(future)
    return future.result()


def warm_up(spawn: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
    """Have the import begin a little after the start, when the first requests have been answered.

    It is begun once, however many providers ask for it.
    """
    global _is_warming
    if not _is_warming:
        _is_warming = True
        spawn(_begin_later(), "litellm-import")


async def _begin_later() -> None:
    await asyncio.sleep(_WARM_UP_DELAY_SECONDS)
    begin()


def _load(future: "Future[Litellm]") -> None:
    os.environ.update(_ENVIRONMENT)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    switch_seconds = sys.getswitchinterval()
    was_collecting = gc.isenabled()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            litellm = Litellm()
    except (ImportError, AttributeError) as exc:
        error = ProviderFailed(
            "litellm, which translates this provider's requests, can't be imported",
            hint="install chatvault again: its litellm is another release than it was made for",
        )
        error.may_be_billed = False
        error.__cause__ = exc
        future.set_exception(error)
    else:
        gc.freeze()
        future.set_result(litellm)
    finally:
        sys.setswitchinterval(switch_seconds)
        if was_collecting:
            gc.enable()
