"""Keys that arrive together are obeyed one after another: each goes to what the one before it has put under the fingers.

Textual hands a key to whatever has the focus at that moment. Over a slow line `/rese` comes in one piece: `r`, `e`, `s` and `e` would reach
the list before the filter has opened, and be taken for its commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from textual import events

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from tui.app import OptyxApp

Input = events.Key | events.Paste
CLIMBS_OF_ENTER = 3
"""A field makes a message of it, and its prompt another: each begins its own way up."""
STEP_S, LONGEST_WAIT_S = 0.005, 2.0
"""What was asked may have ended with a dialog that takes its pending callbacks with it."""


class TypeAhead:
    """`deliver` is Textual's own way with an event. A key that comes alone is delivered at once."""

    def __init__(self, app: OptyxApp, deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._deliver = app, deliver
        self._held: deque[Input] = deque()
        self._turn = 0
        self._is_busy = False

    async def take(self, event: Input) -> None:
        if not self._is_busy and not self._app.is_moving:
            await self._start(event)
            return
        self._held.append(event)
        if not self._is_busy:
            self._is_busy = True
            self._turn += 1
            self._when_there(self._turn)
        if len(self._held) == 1:
            self._release_later()

    def _release_later(self) -> None:
        turn = self._turn
        self._app.set_timer(LONGEST_WAIT_S, lambda: self._next(turn))

    async def _start(self, event: Input) -> None:
        app, self._is_busy = self._app, True
        self._turn += 1
        turn = self._turn
        target = app.focused or app.screen
        climbs_left = CLIMBS_OF_ENTER if isinstance(event, events.Key) and event.key == "enter" else 1

        def climb(node: DOMNode) -> None:
            """After the event, which goes up from parent to parent and at last to the app's bindings."""
            nonlocal climbs_left
            if node.parent is not None:
                follow(node.parent)
                return
            climbs_left -= 1
            if climbs_left:
                follow(target)
            else:
                self._when_there(turn)

        def follow(node: DOMNode) -> None:
            if not node.call_later(climb, node):  # it is closing: nothing more comes of the event
                self._when_there(turn)

        await self._deliver(event)
        follow(target)

    def _when_there(self, turn: int) -> None:
        """Another view has its focus only after the next refresh."""
        if self._app.is_moving:
            self._app.set_timer(STEP_S, lambda: self._when_there(turn))
        else:
            self._app.call_later(self._next, turn)

    async def _next(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._is_busy = False
        if self._held:
            await self._start(self._held.popleft())
            if self._held:
                self._release_later()
