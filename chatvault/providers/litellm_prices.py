"""litellm's price map, the last resort for a price, read from its file: litellm itself is not imported.

The file lies in litellm's package and holds thousands of models; it is read once, when a price is asked for
that nothing else knows, which takes some 20 ms, and only the entries of the providers here are kept.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from chatvault.core.litellm_map import read_entry
from chatvault.core.pricing import FallbackPrice

# The kinds of provider that litellm translates for; its other entries are other sellers' prices.
_KINDS = frozenset({"anthropic", "deepseek"})
_MARKS = tuple(f'"{kind}"'.encode() for kind in sorted(_KINDS))
_FILE = "model_prices_and_context_window_backup.json"


def fallback_price(kind: str, model: str) -> FallbackPrice | None:
    """Return what litellm's table says of exactly this model of a provider's, None where it says nothing."""
    if kind not in _KINDS:
        return None
    entries = _entries()
    for name in (model, f"{kind}/{model}"):
        entry = entries.get(name)
        if entry is not None and entry.get("litellm_provider") == kind:
            return read_entry(entry, version=_version())
    return None


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    try:
        text = (Path(spec.origin).parent / _FILE).read_bytes()
        # Only what speaks of these providers is taken apart: the rest is 3 MB of others.
        entries = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        wanted = {name: each for name, each in entries.items() if any(kind in bytes(each) for kind in _MARKS)}
        return {name: msgspec.json.decode(each, type=dict[str, Any]) for name, each in wanted.items()}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        # Another release may have no such file, or another shape: then nobody knows the price.
        return {}


@cache
def _version() -> str:
    try:
        return version("litellm")
    except PackageNotFoundError:
        return "?"
