"""`credentials.json` in OPTYX_HOME (0600): what the CLI and the TUI talk to. Written by `up` and `demo` on first start, never by `serve`."""

from __future__ import annotations

import json
import os
from pathlib import Path

NAME = "credentials.json"


def url_of(host: str, port: int) -> str:
    """Where a gateway that listens there is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def write(home: Path, gateway_url: str, admin_token: str, admin_url: str | None = None) -> Path:
    """Whole or not at all, and never readable by others. `admin_url`: of the admin API's own listener, where it has one."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / NAME
    fresh = path.with_suffix(".new")
    told = {"gateway_url": gateway_url, "admin_token": admin_token, **({"admin_url": admin_url} if admin_url else {})}
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(told, file, indent=2)
        file.write("\n")
    fresh.replace(path)
    return path


def read(home: Path) -> dict[str, str] | None:
    """None when there are none; raises ValueError when the file is broken."""
    path = home / NAME
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), str) for name in ("gateway_url", "admin_token")
    ):
        raise ValueError(f"{path} lacks gateway_url or admin_token")
    return found
