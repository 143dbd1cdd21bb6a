"""The one door to litellm, in a process of its own where it is imported for the first time."""

import subprocess
import sys
import textwrap
from pathlib import Path

from chatvault.providers import litellm_door

ROOT = Path(__file__).parents[2]

_WATCH = """
import asyncio, os, socket, sys

opened = []

def guard(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        opened.append((event, args[-1]))

sys.addaudithook(guard)
from chatvault.providers import litellm_door
assert "litellm" not in sys.modules
"""


def run(code: str, cwd: Path) -> str:
    """Run a piece of code that ends in a print, far from this process; return what it printed."""
    source = _WATCH + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_goes_on_beside_the_loop_and_reaches_for_nothing(tmp_path):
    (tmp_path / ".env").write_text("CHATVAULT_PLANTED=1\n")
    code = """
        async def main():
            assert litellm_door.fallback_price("anthropic", "claude-opus-5-5") is None
            first, leaving = (asyncio.ensure_future(litellm_door.ready()) for _ in range(2))
            await asyncio.sleep(0.01)
            leaving.cancel()
            ticks = 0
            while not first.done():
                await asyncio.sleep(0.005)
                ticks += 1
            litellm = await litellm_door.ready()
            assert litellm is first.result()
            assert litellm_door.fallback_price("anthropic", "claude-opus-5-5") is not None
            picture = {"type": "image_url", "image_url": {"url": "https://images.invalid/a.png"}}
            request = litellm.anthropic_request(
                "claude-haiku-4-5", [{"role": "user", "content": [picture]}], {"max_tokens": 9}
            )
            print(request.body["messages"][0]["content"][0]["source"])
            print("ticks", ticks > 20, "opened", opened, "planted", "CHATVAULT_PLANTED" in os.environ)

        asyncio.run(main())
    """
    assert run(code, tmp_path) == (
        "{'type': 'url', 'url': 'https://images.invalid/a.png'}\nticks True opened [] planted False\n"
    )


def test_a_litellm_that_is_not_there_is_told(tmp_path):
    code = """
        sys.modules["litellm"] = None

        async def main():
            try:
                await litellm_door.ready()
            except litellm_door.ProviderFailed as exc:
                print(exc.message)

        asyncio.run(main())
    """
    assert "can't be imported" in run(code, tmp_path)


def test_prices_are_for_exactly_this_model_of_this_provider():
    litellm = litellm_door.begin().result()
    price = litellm.price("anthropic", "claude-haiku-5-5")
    assert price is not None
    # USD 0.10 and 0.50 a million tokens up to 100,000 tokens, five times as much above.
    assert [(tier.above_tokens, tier.prices.input, tier.prices.output) for tier in price.tiers] == [
        (0, 100_000, 500_000),
        (100_000, 500_000, 2_500_000),
    ]
    assert litellm.price("deepseek", "deepseek-v4-pro").is_upper_bound
    assert litellm.price("anthropic", "gpt-5.4") is None
    assert litellm.price("anthropic", "claude-nova-9") is None
    assert litellm.price("openai_compatible", "gpt-5.4") is None
