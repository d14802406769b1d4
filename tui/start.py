"""From the launcher to a running app: whose gateway, which theme, which first screen."""

from __future__ import annotations

import os

from tui.app import OptyxApp
from tui.keys import KeymapError
from tui.launch import Options, has_utf8, refuse
from tui.location import Location
from tui.remembered import Remembered
from tui.session import session_for
from tui.terminal import Heard, remember
from tui.themes import DEFAULT, LIGHT, NAMES
from tui.widgets.marks import Glyphs


def run(options: Options, heard: Heard) -> int:
    """Called by the launcher when the terminal is known to be fit. Another context is another app in the same process."""
    remember(heard.is_light)
    while True:
        app = app_for(options, heard)
        status = app.run(mouse=app.mouse_on) or 0
        if not app.next_context:
            return status
        heard.early = ""
        options.context, options.screen, options.filter = app.next_context, "overview", ""


def app_for(options: Options, heard: Heard) -> OptyxApp:
    Glyphs.ascii = not (has_utf8() and heard.draws_signs)
    session = session_for(options)
    theme = options.theme or os.environ.get("OPTYX_THEME") or session.theme or (LIGHT if heard.is_light else DEFAULT)
    if theme not in NAMES:
        refuse(f"there is no theme {theme!r}; they are {', '.join(NAMES)}")
    try:
        return OptyxApp(
            session.connect,
            context=session.context,
            url=session.url,
            start=Location(options.screen, filter=options.filter) if session.connect else None,
            theme=theme,
            readonly=options.readonly or session.readonly,
            context_readonly=session.readonly,
            guarded=session.guarded,
            why_not=session.why_not,
            early_keys=heard.early,
            remembered=Remembered(session.url) if session.connect else None,
            sign_in=lambda: session_for(options).connect,
        )
    except KeymapError as error:
        refuse(str(error))
