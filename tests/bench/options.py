"""What a run of the benchmarks is told: how long, on which cores, where, and beside whom."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to measure. A core of None leaves the process unpinned; `folder` holds everything that is made.

    `seconds` is one measurement's length, of which every figure takes `rounds`; `litellm_python` is the
    interpreter of a virtual environment with `litellm[proxy]`, or None to leave LiteLLM Proxy out.
    """

    folder: Path
    server_cpu: int | None
    load_cpu: int | None
    rounds: int = 3
    seconds: float = 0.6
    is_quick: bool = False
    litellm_python: Path | None = None
    many_rows: int = 1_000_000
    most_rows: int = 10_000_000
