"""The gateway's own log: text for a person, JSON for a collector. Never holds a key, a prompt or an answer."""

from __future__ import annotations

import json
import logging
import sys
import time


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, form: str | None) -> None:
    """To stderr. `form` None: text on a terminal, JSON otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    if (form or ("text" if sys.stderr.isatty() else "json")) == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("asyncio", "aiohttp.server", "yoyo"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
