"""The one door to litellm, in a process of its own where it is imported for the first time."""

import subprocess
import sys
import textwrap
from pathlib import Path

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
            first, leaving = (asyncio.ensure_future(litellm_door.ready()) for _ in range(2))
            await asyncio.sleep(0.01)
            leaving.cancel()
            ticks = 0
            while not first.done():
                await asyncio.sleep(0.005)
                ticks += 1
            litellm = await litellm_door.ready()
            assert litellm is first.result()
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


def test_the_file_of_prices_is_what_litellm_itself_goes_by(tmp_path):
    code = """
        litellm_door.begin().result()
        import litellm
        from chatvault.core.litellm_map import read_entry
        from chatvault.providers.litellm_prices import fallback_price
        wrong = count = 0
        for name, entry in litellm.model_cost.items():
            kind = entry.get("litellm_provider")
            if kind in ("anthropic", "deepseek"):
                count += 1
                found = fallback_price(kind, name.removeprefix(kind + "/"))
                plain = litellm.model_cost.get(name.removeprefix(kind + "/"), {})
                entry = plain if plain.get("litellm_provider") == kind else entry
                told = read_entry(entry, version="x")
                wrong += (found and found.tiers) != (told and told.tiers)
        print("wrong", wrong, "of many", count > 20)
    """
    assert run(code, tmp_path) == "wrong 0 of many True\n"
