"""What the dashboard says and asks: notices and their history, and the questions before something is changed.

The views use it through their app; where the user is, is in `tui.places`.
"""

from __future__ import annotations

from collections.abc import Callable

from tui import clock
from tui.notices import Notices, Toasts
from tui.places import Places
from tui.widgets.chrome import notice_line
from tui.widgets.dialogs import Confirm, Reading, TypeName
from tui.widgets.line import Line, folded


class Speaking(Places):
    """`context` and `guarded`: through which gateway a change goes, and whether it is protected."""

    def __init__(self, ansi_color: bool | None, *, context: str, guarded: bool) -> None:
        super().__init__(ansi_color)
        self.context, self.guarded = context, guarded
        self.notices, self.toasts = Notices(), Toasts()

    # Saying

    def say(self, text: str, kind: str = "information") -> None:
        """One line for the user; kept in the history of notices."""
        self.notices.add(text, kind, clock.moment())
        if self.is_running:
            self.toasts.show(text, kind)

    def described(self, error: Exception) -> str:
        """What failed, the code, what to do next: never a traceback."""
        from tui.wire import GatewayError

        if isinstance(error, GatewayError):
            code = f" ({error.code})" if error.code else ""
            return f"{error}{code}"
        return str(error) or type(error).__name__

    def action_notices(self) -> None:
        lines: list[Line] = []
        for at, text, kind, count in self.notices.newest():
            line = notice_line(text + (f"  ×{count}" if count > 1 else ""), kind)
            first, *rest = folded(line, min(84, self.size.width - 16))
            lines += [[(f"{at:%H:%M:%S} ", "dim"), *first], *([(" " * 12, ""), *more] for more in rest)]
        self.push_screen(Reading("What was said", lines or [[("Nothing yet.", "dim")]]))

    # Asking

    def confirm(self, question: str, effect: list[str], verb: str, then: Callable[[], None]) -> None:
        """Asks, and does it only on a deliberate `Y`."""
        self.push_screen(Confirm(question, effect, verb, self._guard), lambda yes: self._answered(yes, then))

    def confirm_by_name(
        self,
        question: str,
        effect: list[str],
        verb: str,
        then: Callable[[], None],
        name: str,
        title: str = "Please confirm",
    ) -> None:
        """Asks, and does it only when the name was typed out."""
        dialog = TypeName(question, effect, name, verb, title, self._guard)
        self.push_screen(dialog, lambda yes: self._answered(yes, then))

    @property
    def _guard(self) -> str:
        return self.context if self.guarded else ""

    def _answered(self, yes: bool | None, then: Callable[[], None]) -> None:
        if yes:
            then()
        else:
            self.say("Cancelled: nothing was changed.")
