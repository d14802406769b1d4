"""Which gateway this session talks to, and as whom: found the same way as by the command line (`tui.contexts`).

The admin token is read here and held in the client; it is never drawn, logged or written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui import contexts
from tui.calls import Client
from tui.faults import Fault
from tui.flags import Flags
from tui.launch import Options


@dataclass(frozen=True)
class Session:
    """`connect` is None when there are no credentials; `why_not` then says what was looked for and where."""

    context: str
    url: str
    connect: Callable[[], Client] | None
    why_not: str = ""
    readonly: bool = False
    guarded: bool = False
    theme: str = ""


def session_for(options: Options) -> Session:
    name = options.context or ""
    contexts.read_dotenv()
    try:
        place = contexts.place(Flags(context=name, given={"context"} if name else set()))
        token = place.token()
    except Fault as fault:
        why_not = f"{fault.message[:1].upper()}{fault.message[1:]}." + (
            f" What helps: {fault.hint}." if fault.hint else ""
        )
        return Session(name or "gateway", "", None, why_not)
    return Session(
        place.context,
        place.url,
        lambda: Client(place.admin_url or place.url, token, ca=place.ca, proxy=place.proxy),
        "",
        place.readonly,
        place.guarded,
        place.theme,
    )


def known() -> list[tuple[str, str, str]]:
    """(name, URL, what is special) of every context in the configuration file; nothing when it can't be read."""
    try:
        book = contexts.read()
    except Fault:
        return []
    rows = []
    for name, one in book.contexts.items():
        marks = ["current"] if name == book.current else []
        marks += [mark for mark in ("guarded", "readonly") if one.get(mark)]
        rows.append((name, str(one.get("url", "")), ", ".join(marks)))
    return rows
