"""The embedded model's own process: llama.cpp's server around one model file, for one gateway.

Run by its path: a crash in native code ends this process and nothing else. It knows nothing of ChatVault.
Its orders are one line of JSON on standard input, which stays open while the gateway lives; the address it
listens on is one line of JSON on standard output, once the model is loaded.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Protocol, TypedDict

_PR_SET_PDEATHSIG = 1
_NICENESS = 5
# Memory runs short: take this process, and not the gateway with its books.
_OOM_SCORE_ADJ = "500"


class _Server(Protocol):
    listening_address: str


class Orders(TypedDict):
    """What the gateway asks for: `context` is in tokens for each of `slots` answers at once."""

    parent: int
    path: list[str]
    model: str
    alias: str
    key: str
    context: int
    slots: int
    threads: int


def main() -> None:
    """Serve until the gateway closes standard input, or ends."""
    orders: Orders = json.loads(sys.stdin.buffer.readline())
    _die_with(orders["parent"])
    # A service's sandbox may forbid both.
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(_OOM_SCORE_ADJ)
    # Whatever native code prints belongs to the log, not between our lines.
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.path[:] = orders["path"]
    server = _serve(orders)
    os.write(answers, json.dumps({"address": server.listening_address}).encode() + b"\n")
    sys.stdin.buffer.read()
    # No farewell: there is nothing to save, and native clean-up can hang.
    os._exit(0)


def _die_with(parent: int) -> None:
    # Standard input tells of the parent's end too, but nobody reads it while the model is being loaded.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _serve(orders: Orders) -> _Server:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders["model"]
    params.model_alias = {orders["alias"]}
    params.hostnames = ["127.0.0.1"]
    # The kernel chooses a free port while binding: nobody can take it in between.
    params.port = 0
    params.api_keys = [orders["key"]]
    params.cors_origins = ""
    params.n_parallel = orders["slots"]
    params.n_ctx = orders["context"] * orders["slots"]
    params.ctx_shift = False
    params.cpuparams.n_threads = orders["threads"]
    params.cpuparams_batch.n_threads = orders["threads"]
    params.n_gpu_layers = 0
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.offline = True
    params.cache_ram_mib = 0
    params.warmup = False
    # Errors alone: what is finer can hold words of a prompt.
    params.verbosity = 1
    server: _Server = xllamacpp.Server(params)
    return server


if __name__ == "__main__":
    main()
