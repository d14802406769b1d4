"""Which gateway this session talks to, and as whom: the environment first, then what `optyx up` or `optyx demo` wrote down.

The admin token is read here and held in the client; it is never drawn, logged or written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tui.calls import Client
from tui.launch import Options


@dataclass(frozen=True)
class Session:
    """`connect` is None when there are no credentials; `why_not` then says what was looked for and where."""

    context: str
    url: str
    connect: Callable[[], Client] | None
    why_not: str = ""
    readonly: bool = False
    guarded: bool = False


def home() -> Path:
    """OPTYX_HOME, or where the gateway keeps its data by default."""
    given = os.environ.get("OPTYX_HOME")
    if given:
        return Path(given).expanduser()
    return Path("/var/lib/optyx") if hasattr(os, "geteuid") and os.geteuid() == 0 else Path.home() / ".optyx"


def session_for(options: Options) -> Session:
    readonly = os.environ.get("OPTYX_READONLY", "") not in ("", "0")
    url, token = os.environ.get("OPTYX_GATEWAY_URL", ""), os.environ.get("OPTYX_ADMIN_TOKEN", "")
    name = options.context or "gateway"
    if not (url and token):
        path = home() / "credentials.json"
        found, problem = _credentials(path)
        url, token = url or found.get("gateway_url", ""), token or found.get("admin_token", "")
        if not (url and token):
            return Session(name, url, None, problem or f"{path} names no gateway", readonly)
    return Session(options.context or "local", url, lambda: Client(url, token), "", readonly)


def _credentials(path: Path) -> tuple[dict[str, str], str]:
    """What the file says, and what was wrong with it."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, f"There are no credentials at {path}."
    except PermissionError:
        return {}, f"{path} belongs to someone else: it can't be read."
    except (OSError, ValueError) as error:
        return {}, f"{path} can't be read: {error}"
    if not isinstance(read, dict):
        return {}, f"{path} is not what the gateway writes."
    return {str(name): str(value) for name, value in read.items()}, ""
