"""What workers and widgets tell the screens: threads fetch, messages carry, handlers change what is shown."""

from __future__ import annotations

from typing import Any

from textual.message import Message


class Arrived(Message):
    """What a view asked for came. `ticket`: which request of the view it answers; older ones are ignored."""

    def __init__(self, what: str, data: Any, ticket: int) -> None:
        self.what = what
        self.data = data
        self.ticket = ticket
        super().__init__()


class Failed(Message):
    """The gateway said no, or could not be reached."""

    def __init__(self, what: str, error: Exception, ticket: int) -> None:
        self.what = what
        self.error = error
        self.ticket = ticket
        super().__init__()


class LinkChanged(Message):
    """The state of the connection changed; see `tui.link.Link`."""

    bubble = False
