"""Asks where to write a list, and in which form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.export import export_view
from tui.widgets.form import Field, Form

if TYPE_CHECKING:
    from tui.app import OptyxApp


def ask_export(app: OptyxApp, what: str) -> None:
    fields = [
        Field("kind", "Form", "csv", choices=("csv", "ndjson")),
        Field(
            "path",
            "File",
            f"./{what}.csv",
            "is created; an existing file is never overwritten",
            lambda text: "" if text else "needed",
        ),
    ]

    def given(answers: dict[str, str] | None) -> None:
        if answers:
            path = answers["path"]
            if answers["kind"] == "ndjson" and path.endswith(".csv"):
                path = path.removesuffix(".csv") + ".ndjson"
            export_view(app, answers["kind"], path)

    app.push_screen(
        Form(f"Export {what}", fields, "write", ["Everything that matches the filter, not only what is loaded."]), given
    )
