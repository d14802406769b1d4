"""What the flows have in common: keys as they are typed, and what is waited for."""

from __future__ import annotations

import time

from textual import events

from tests.tui.stage import until
from tui.location import Location
from tui.widgets.dialogs import Confirm

KEYS = Location("keys", project="acme")


def asked(fake, method, ending):
    return [body for made, path, _, body in fake.seen if made == method and path.endswith(ending)]


async def said(app, pilot, text):
    await until(lambda: any(text in one[1] for one in app.notices.said), pilot)


async def armed(app, pilot):
    """A confirmation is on screen and takes Y."""
    await until(lambda: isinstance(app.screen, Confirm), pilot)
    app.screen.quiet_since = time.monotonic() - 1


async def typed(pilot, text):
    await pilot.press(*({" ": "space", "-": "minus", ":": "colon"}.get(one, one) for one in text))


def arrive_together(app, text):
    """Keys as they come over a slow line: in one piece."""
    for character in text:
        key = {"/": "slash", ":": "colon", " ": "space", "\r": "enter"}.get(character, character)
        app.post_message(events.Key(key, character))
