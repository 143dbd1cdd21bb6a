"""LiteLLM Proxy, from a virtual environment of its own, as the alternative a user would take."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.load import Target
from tests.bench.options import Options
from tests.bench.process import free_port, running

TOKEN = "sk-bench-token"


@contextlib.contextmanager
def litellm_proxy(mock: Target, *, models: Sequence[str], options: Options) -> Iterator[Target | None]:
    """Run LiteLLM Proxy before the mock on the server's core, without a database; None unless asked for."""
    python = options.litellm_python
    if python is None:
        yield None
        return
    config = options.folder / "litellm.yaml"
    upstream = {"api_base": f"http://127.0.0.1:{mock.port}/v1", "api_key": "bench-key"}
    listed = [
        {"model_name": model, "litellm_params": {"model": f"openai/{model}", **upstream}} for model in models
    ]
    config.write_text(json.dumps({"model_list": listed, "general_settings": {"master_key": TOKEN}}))
    port = free_port()
    # Beside the interpreter, not behind its symbolic link.
    command: list[str | Path] = [
        python.parent / "litellm",
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    log = options.folder / "litellm.log"
    with running(command, cpu=options.server_cpu, log=log, environ=environ) as process:
        process.wait_for_port(port, seconds=120)
        yield Target(f"LiteLLM Proxy {litellm_version(options)}", port, process, token=TOKEN)


def litellm_version(options: Options) -> str:
    """Return the version in LiteLLM's own environment."""
    code = "from importlib.metadata import version; print(version('litellm'))"
    done = subprocess.run(
        [str(options.litellm_python), "-c", code], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
