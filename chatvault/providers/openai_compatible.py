"""The provider that is any server with OpenAI's Chat Completions: vLLM, llama.cpp, LM Studio, OpenAI itself."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from chatvault.core.chat import ChatRequest
from chatvault.core.setting import setting
from chatvault.errors import ConfigError, ProviderAuthFailed, ProviderError, ProviderFailed, RequestError
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.http import HttpClient
from chatvault.providers.openai_models import read_models
from chatvault.providers.openai_stream import OpenAIStream
from chatvault.providers.openai_wire import encode, read_completion
from chatvault.providers.upstream import Client, fetch, open_answer, open_stream, request_id
