"""`python -m gateway worker` and `prepare`: how the parent starts a worker, and makes a database ready. People use `optyx`."""

from __future__ import annotations

import argparse
import sys

from gateway import logs
from gateway.config import ConfigError, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="one process of the gateway; started by `optyx up`, `demo` and `serve`")
    worker.add_argument("--sandbox-url")
    worker.add_argument("--ready-fd", type=int)
    worker.add_argument("--parent-fd", type=int)
    prepare = commands.add_parser(
        "prepare", help="migrate and seed, or look whether that is done; prints JSON for the parent"
    )
    prepare.add_argument("mode", choices=("demo", "up", "serve"))
    prepare.add_argument("--gateway-url", required=True)
    given = parser.parse_args()
    try:
        config = load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up(config.log_level, config.log_format)
    if given.command == "prepare":
        import msgspec

        from gateway.prepare import prepare as make_ready

        print(msgspec.json.encode(make_ready(config, given.mode, given.gateway_url)).decode())
        return 0
    from gateway.app import run_worker

    return run_worker(config, sandbox_url=given.sandbox_url, ready_fd=given.ready_fd, parent_fd=given.parent_fd)


if __name__ == "__main__":
    sys.exit(main())
