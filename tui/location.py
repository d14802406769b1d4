"""Where the user is: screen, project, object, filter and window together. Tabs, detail, back and the command bar all move through it."""

from __future__ import annotations

from dataclasses import dataclass, replace

KEPT = 100
WINDOWS = ("5m", "15m", "1h", "24h")


@dataclass(frozen=True, slots=True)
class Location:
    """`object`: the id of what is open (a request, a key, a provider). `filter`: the text of the filter grammar."""

    screen: str
    project: str = ""
    object: str = ""
    filter: str = ""

    def crumbs(self, context: str) -> list[str]:
        """`context ▸ project ▸ screen ▸ object`."""
        if self.screen in ("keys", "settings") and self.project:
            return [context, "projects", self.project, self.screen]
        parts = [context, "logs" if self.screen == "detail" else self.screen]
        return [*parts, self.object] if self.object else parts

    def with_filter(self, text: str) -> Location:
        return replace(self, filter=text.strip())


class History:
    """Places visited, like a browser's: `back`, `forward`, and `last`, which goes to and fro between two."""

    def __init__(self, start: Location) -> None:
        self.places = [start]
        self.at = 0

    @property
    def here(self) -> Location:
        return self.places[self.at]

    def go(self, place: Location) -> None:
        if place != self.here:
            self.places = [*self.places[: self.at + 1], place][-KEPT:]
            self.at = len(self.places) - 1

    def amend(self, place: Location) -> None:
        """The same place with another filter: not a step of its own."""
        self.places[self.at] = place

    def back(self) -> Location | None:
        return self._step(-1)

    def forward(self) -> Location | None:
        return self._step(1)

    def last(self) -> Location | None:
        """The place before this one, which then is the last: twice is where you were."""
        if self.at == 0:
            return None
        self.go(self.places[self.at - 1])
        return self.here

    def _step(self, by: int) -> Location | None:
        if not 0 <= self.at + by < len(self.places):
            return None
        self.at += by
        return self.here
