"""The table of keys in docs/tui.md, out of the table that the dashboard uses. `python -m tests.tui.key_table` writes it anew."""

from __future__ import annotations

from pathlib import Path

from tui.keys import ACTIONS, SCREENS, sign

PAGE = Path(__file__).parent.parent.parent / "docs" / "tui.md"
BEGIN, END = "<!-- keys: written by tests/tui/key_table.py -->\n", "<!-- end of keys -->\n"
SCOPES = (
    ("app", "Everywhere"), ("list", "In every list"), ("columns", "In lists with columns"),
    ("table", "In tables"), ("overview", "Overview"), ("logs", "Logs"), ("detail", "One call"),
    ("projects", "Projects"), ("keys", "Keys"), ("settings", "Settings"), ("providers", "Providers"), ("limits", "Limits"),
    ("playground", "Playground"), ("audit", "Audit"), ("usage", "Usage"), ("models", "Models"),
)  # fmt: skip


def table() -> str:
    lines = []
    for scope, title in SCOPES:
        actions = [action for action in ACTIONS if action.scope == scope]
        if not actions:
            continue
        lines += [f"**{title}**", "", "| key | does | command line |", "|---|---|---|"]
        for action in actions:
            if scope == "app" and action.id.startswith("app.screen_") and action.id != "app.screen_1":
                continue
            keys, does = " ".join(f"`{sign(key)}`" for key in action.keys.split(",")), action.tooltip
            if action.id == "app.screen_1":
                keys, does = f"`1`–`{len(SCREENS)}`", "The screens: " + ", ".join(word for _, word, _ in SCREENS)
            cli = f"`{action.cli}`" if action.cli.startswith("optyx ") else ""
            lines.append(f"| {keys} | {does} | {cli} |".replace("`|`", "`\\|`"))
        lines.append("")
    return "\n".join(lines)


def page_with(text: str, keys: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{keys}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text("utf-8"), table()), "utf-8")
