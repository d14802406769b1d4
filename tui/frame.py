"""The frame around every view: crumbs and state above, status and keys below, and a banner while the gateway is away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.version import VERSION
from tui import clock
from tui.keys import Action, letter
from tui.launch import LEAST
from tui.widgets.chrome import ALWAYS, Banner, Prompt, keys_line, tabs_line, top_line
from tui.widgets.dialogs import Dialog
from tui.widgets.line import Line, cell_len, ends, fit, visible
from tui.widgets.panel import Bar

if TYPE_CHECKING:
    from tui.app import OptyxApp

TAB_OF = {"detail": "logs", "settings": "projects", "models": "providers", "usage": "limits"}


def draw(app: OptyxApp) -> None:
    """Gives every part of the frame what it should now say; only what differs is painted."""
    if app.is_too_small:
        app.query_one(Banner).set_lines([])
        app.query_one("#status", Bar).set_line(_small_status(app))
        return
    width = app.size.width
    place = app.history.here
    rights = "read-only" if app.readonly else "viewer: no changes" if not app.may_write else ""
    note = "   ".join(part for part in (rights, _skew(app.gateway_version)) if part)
    crumbs = place.crumbs(app.context)
    app.query_one("#top", Bar).set_line(
        top_line(crumbs, app.link.said(), clock.moment(), width, guarded=app.guarded, note=note)
    )
    app.query_one("#tabs", Bar).set_line(tabs_line(TAB_OF.get(place.screen, place.screen), width))
    app.query_one(Banner).set_lines(_banner(app))
    said = app.screen.SAID if isinstance(app.screen, Dialog) else ""
    app.query_one("#status", Bar).set_line([(" ", ""), (said, "warn")] if said else _status(app))
    draw_keys(app)


def draw_keys(app: OptyxApp) -> None:
    """The keys that do something now: a dialog's own, those of the line being typed, or the view's and the app's that are not letters of a
    field and find something to work on."""
    bar, width = app.query_one("#keys", Bar), app.size.width
    focused = app.focused
    if isinstance(app.screen, Dialog):
        bar.set_line(keys_line(app.screen.KEYS, width, ()))
    elif app.query_one(Prompt).display:
        bar.set_line(keys_line(Prompt.KEYS, width, ()))
    else:

        def is_offered(action: Action, key: str) -> bool:
            return app.offers(action) and not (focused and focused.check_consume_key(key, letter(key)))

        keys = app.keymap_table.footer((app.history.here.screen, "app"), is_offered)
        back = app.keymap_table.first_sign("app.back")
        types = focused is not None and focused.check_consume_key("q", "q")
        bar.set_line(keys_line(keys, width, ((back, "leave the field"),) if types else ALWAYS))


def _small_status(app: OptyxApp) -> Line:
    needs = f"needs {LEAST[0]}×{LEAST[1]}, has {app.size.width}×{app.size.height}"
    line: Line = [(needs, "warn")]
    if app.is_hopeless:
        return line
    if app.link.state != "live":
        line += [("  ", ""), app.link.said()]
    said = app.screen.SAID if isinstance(app.screen, Dialog) else ""
    return [*line, ("  ", ""), *([(said, "warn")] if said else _status(app))]


def title(app: OptyxApp) -> str:
    """The terminal's title: the context, and how many things are urgent."""
    return visible(f"optyx {app.context}" + (f" ✖{app.urgent}" if app.urgent else ""))


def _skew(gateway: str) -> str:
    """Said when one of the two is of a version that may speak otherwise."""
    differs = gateway.split(".")[:2] != VERSION.split(".")[:2]
    return f"▲ gateway {visible(gateway)}, client {VERSION}" if gateway and differs else ""


def _banner(app: OptyxApp) -> list[Line]:
    link = app.link
    if link.state == "offline":
        wait = max(0, round(link.next_try - time.monotonic()))
        age = f"Showing data {int(link.age_s)} s old. " if link.last_answer else ""
        held = "   changes are held until it answers" if app.size.width >= 100 else ""
        next_try = f"   {age}Next try in {wait} s.  ^r now   :doctor why{held}"
        return [[(f" ✖ Lost the gateway: {link.reason}", "banner")], [(next_try, "banner")]]
    if link.state == "signed_out":
        return [
            [(f" ✖ The gateway does not take this admin token ({app.url}).", "banner")],
            [("   optyx login, in another terminal, signs in again; ^r then goes on here.", "banner")],
        ]
    if link.state == "stale":
        age = f"Showing data {int(link.age_s)} s old. " if link.last_answer else ""
        return [
            [(" ▲ The gateway answers, but its database does not: nothing new can be read.", "banner")],
            [(f"   {age}Known keys go on working.   :doctor why", "banner")],
        ]
    return []


def _status(app: OptyxApp) -> Line:
    """What can be taken back stands at the right, where no long status takes its place."""
    left_s = app.undo.left_s
    view, width = app.view, app.size.width
    line: Line = [(" ", ""), *(view.status() if view is not None and view.is_mounted else [])]
    if not left_s:
        return line
    seconds = f" (u, {left_s} s) "
    what = fit(app.undo.text, min(cell_len(visible(app.undo.text)), width // 2 - len(seconds)))
    return ends(line, [("Undo: ", "accent"), (what + seconds, "")], width)
