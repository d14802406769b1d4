"""Every screen and dialog as lines of text at two sizes, with a clock that stands still: `tests/tui/pictures/*.txt`.

`python -m tests.tui.snapshots` writes them anew; look at the difference before committing it. `test_snapshots.py` compares.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location
from tui.widgets.marks import Glyphs

PICTURES = Path(__file__).parent / "pictures"
SIZES = {"wide": WIDE, "small": SMALL}
Step = Callable[[Any, Any], Awaitable[None]]


def keys(*pressed: str, then: str = "") -> Step:
    """Presses keys, and waits until `then` is on screen."""

    async def press(app: Any, pilot: Any) -> None:
        await pilot.press(*pressed)
        await until(lambda: then in screen_text(app), pilot)

    return press


async def changed_settings(app: Any, pilot: Any) -> None:
    app.view.form.set_value("patterns", "")
    app.view.form.set_value("tier:fast", "gpt-6-luna")
    await until(lambda: "212,140" in screen_text(app) or app.view.preview is not None, pilot)


async def tested(app: Any, pilot: Any) -> None:
    await pilot.press("j", "j", "t")
    await until(lambda: "over capacity" in screen_text(app), pilot)


async def verified(app: Any, pilot: Any) -> None:
    await pilot.press("V")
    await until(lambda: "verified" in screen_text(app), pilot)


KEYS = Location("keys", project="acme")
SCENES: dict[str, tuple[Location, Step | None]] = {
    "overview": (Location("overview"), None),
    "logs": (Location("logs"), keys("up", "up", "up", "up", "up", then="PAUSED")),
    "detail": (Location("detail", object="req_000000000004"), None),
    "projects": (Location("projects"), None),
    "keys": (KEYS, None),
    "settings": (Location("settings", project="acme"), None),
    "settings-changed": (Location("settings", project="acme"), changed_settings),
    "providers-tested": (Location("providers"), tested),
    "limits": (Location("limits"), None),
    "playground": (Location("playground"), None),
    "audit": (Location("audit"), verified),
    "models": (Location("models"), None),
    "usage": (Location("usage"), None),
    "connect": (Location("connect"), None),
    "new-key": (KEYS, keys("n", then="New key for acme")),
    "disable": (KEYS, keys("d", then="Please confirm")),
    "revoke": (KEYS, keys("j", "x", then="This can't be undone")),
    "rotate": (KEYS, keys("j", "r", then="Old secret works for")),
    "palette": (KEYS, keys("ctrl+p", *"rot", then="optyx keys rotate")),
    "help": (KEYS, keys("question_mark", then="Help: keys")),
    "copy": (KEYS, keys("y", then="Copy")),
    "command": (KEYS, keys("colon", *"log", then="log")),
}


async def shot(name: str, size: str, *, theme: str = "optyx-dark", ascii_only: bool = False) -> str:
    """The scene as text."""
    place, step = SCENES[name]
    Glyphs.ascii = ascii_only
    try:
        with FakeGateway() as fake:
            async with stage(fake, SIZES[size], place, theme=theme) as (app, pilot):
                await until(lambda: app.role, pilot)
                if step is not None:
                    await step(app, pilot)
                await settled(app, pilot)
                await pilot.pause(0.1)
                text = screen_text(app)
                await pilot.press("escape")
        text = text.replace(fake.url, "http://127.0.0.1:40000")  # a port of five digits, as the one the system gave
    finally:
        Glyphs.ascii = False
    return text + "\n"


VARIANTS = [
    *((name, size, {}) for name in SCENES for size in SIZES),
    ("overview", "wide", {"ascii_only": True}),
    ("keys", "wide", {"theme": "mono"}),
]


def file_of(name: str, size: str, options: dict[str, Any]) -> Path:
    suffix = "-ascii" if options.get("ascii_only") else f"-{options['theme']}" if options.get("theme") else ""
    return PICTURES / f"{name}-{size}{suffix}.txt"


async def write_all() -> None:
    os.environ["XDG_CONFIG_HOME"] = str(PICTURES.parent / "nowhere")  # as for one who has chosen nothing
    PICTURES.mkdir(exist_ok=True)
    for name, size, options in VARIANTS:
        file_of(name, size, options).write_text(await shot(name, size, **options), "utf-8")


if __name__ == "__main__":
    asyncio.run(write_all())
