"""Where the user is: screen, project, object, filter and window together. Tabs, detail, back and the command bar all move through it."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    """Places visited, like a browser's: `back` and `last`."""

    def __init__(self, start: Location) -> None:
        self.places = [start]

    @property
    def here(self) -> Location:
        return self.places[-1]

    def go(self, place: Location) -> None:
        if place != self.here:
            self.places.append(place)
            del self.places[:-100]

    def amend(self, place: Location) -> None:
        """The same place with another filter: not a step of its own."""
        self.places[-1] = place

    def back(self) -> Location | None:
        if len(self.places) < 2:
            return None
        self.places.pop()
        return self.here

    def last(self) -> Location | None:
        """The place before this one, which then is the last: `-` twice is where you were."""
        if len(self.places) < 2:
            return None
        self.places.append(self.places[-2])
        return self.here
