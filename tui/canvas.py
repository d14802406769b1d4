"""The screen under the views, which keeps the launcher's frame until there is a whole picture to put in its place.

Textual paints after every layout, and a start has several: two thirds of what it wrote were pictures that nobody could read before the
next one came.
"""

from __future__ import annotations

from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget


class Canvas(Screen[None]):
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Textual paints all of a screen whenever the focus moves in it. Here whoever gains or loses it paints itself."""

    def __init__(self, *, is_held: bool) -> None:
        super().__init__(id="_default")
        self.is_held = is_held

    def _compositor_refresh(self) -> None:
        if self.is_held:
            self._dirty_widgets.clear()  # the compositor remembers their regions
        else:
            super()._compositor_refresh()

    def release(self) -> None:
        """Paints everything once, now, and from here on what changes."""
        if self.is_held:
            self.is_held = False
            self.paint_all()

    def paint_all(self) -> None:
        self._dirty_widgets.clear()
        self.app._display(self, self._compositor.render_full_update())
