"""Runs a report for a member of the group, in a process of its own: the loop that serves must not wait."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from chatvault.control.reading import check_reading
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, UsageError

_SECONDS = 60.0
_MOST_AT_ONCE = 2
_LONGEST = 16 * 1024 * 1024
# What a report needs of the daemon's own surroundings: where its files are, and the zone it shows times in.
_FOLDERS = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY", "CACHE_DIRECTORY")
_VARIABLES = frozenset(
    (*_FOLDERS, "CHATVAULT_HOME", "PATH", "PYTHONPATH", "LANG", "TZ", "HOME", "XDG_RUNTIME_DIR")
)


class ReportRoom:
    """Run reports, a few at a time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name: value for name, value in environ.items() if name in _VARIABLES}
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def read(self, body: JsonObject) -> JsonObject:
        """Run the command in `words`; return what it printed and its exit code. Raises ChatVaultError."""
        words = body.get("words", "")
        if not isinstance(words, str):
            raise UsageError("words are separated by line breaks")
        chosen = words.split("\n")
        check_reading(chosen)
        async with self._places:
            return await self._run(chosen)

    async def _run(self, words: Sequence[str]) -> JsonObject:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "chatvault", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                out, err = await process.communicate()
        except TimeoutError as exc:
            raise ChatVaultError(f"the report took longer than {_SECONDS:.0f} s") from exc
        finally:
            if process.returncode is None:
                process.kill()
        if len(out) > _LONGEST:
            raise ChatVaultError("the report is too long", hint="ask for a shorter time, or use sudo")
        return {
            "exit_code": process.returncode,
            "out": out.decode("utf-8", "replace"),
            "err": err.decode("utf-8", "replace"),
        }
