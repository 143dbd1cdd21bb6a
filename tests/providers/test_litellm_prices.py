"""litellm's prices, without litellm."""

import subprocess
import sys
from pathlib import Path

import pytest

from chatvault.providers import litellm_prices
from chatvault.providers.litellm_prices import fallback_price


def test_prices_are_for_exactly_this_model_of_this_provider() -> None:
    price = fallback_price("anthropic", "claude-haiku-5-5")

    assert price is not None and price.note.startswith("litellm 1.")
    # USD 0.10 and 0.50 a million tokens up to 100,000 tokens, five times as much above.
    assert [(tier.above_tokens, tier.prices.input, tier.prices.output) for tier in price.tiers] == [
        (0, 100_000, 500_000),
        (100_000, 500_000, 2_500_000),
    ]
    peak = fallback_price("deepseek", "deepseek-v4-pro")
    assert peak is not None and peak.is_upper_bound
    assert fallback_price("anthropic", "gpt-5.4") is None
    assert fallback_price("anthropic", "claude-nova-9") is None
    assert fallback_price("openai_compatible", "gpt-5.4") is None


def test_litellm_is_not_imported_for_it() -> None:
    code = (
        "import sys; from chatvault.providers.litellm_prices import fallback_price\n"
        "assert fallback_price('anthropic', 'claude-haiku-5-5') is not None\n"
        "print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)

    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("text", [b"", b"[]", b'{"claude-x": 7}', b"\xff", None])
def test_a_map_that_can_not_be_read_knows_no_price(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes | None
) -> None:
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if text is not None:
        (package / "model_prices_and_context_window_backup.json").write_bytes(text)

    class Spec:
        origin = str(package / "__init__.py")

    monkeypatch.setattr(litellm_prices, "find_spec", lambda name: Spec)
    litellm_prices._entries.cache_clear()
    try:
        assert fallback_price("anthropic", "claude-haiku-5-5") is None
    finally:
        litellm_prices._entries.cache_clear()
