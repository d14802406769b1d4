"""The one moment a key's secret is on screen: copy it, write it to a file, try it, and see the first call arrive.

The string lives in this dialog alone. Closing wipes it; leaving without having taken it needs a second `esc`. It may be handed to the
playground of this session, whose field for a key is never drawn.
"""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events

from gateway.admin.schema.keys import NewKey
from gateway.admin.schema.logs import LogRow
from tui import clock, figures
from tui.messages import Arrived, Failed
from tui.widgets.dialogs import Dialog
from tui.widgets.line import Line, ends, fit, wrapped
from tui.wire import Unreachable, Wire

if TYPE_CHECKING:
    from tui.calls import Client

SNIPPETS = ("curl", "python", "node")


class ShownOnce(Dialog):
    """Answers the secret when it is to be used in the playground, and nothing otherwise."""

    WIDTH = 78
    KEYS = (
        ("c", "copy"),
        ("e", "export"),
        ("s", "snippet"),
        ("w", "file"),
        ("h", "hide"),
        ("t", "test"),
        ("p", "play"),
        ("esc", "close"),
    )
    SAID = "secret on screen: no screenshot, log or crash report has it"

    def __init__(self, key: NewKey) -> None:
        super().__init__("New key (shown once)")
        self.key_name, self.key_id, self.project, self.expires = key.name, key.id, key.project, key.expires_at
        self.secret = key.key or ""
        self.hidden = os.environ.get("OPTYX_HIDE_SECRETS", "") not in ("", "0")
        self.taken = ""
        self.trouble = ""
        self.warned = False
        self.test = ""
        self.snippet = 0
        self.first: LogRow | None = None
        self.asking = False

    def on_mount(self) -> None:
        self.optyx.secrets_open += 1
        self.set_interval(2.0, self._look_for_first)

    def on_unmount(self) -> None:
        self.secret = ""
        self.optyx.secrets_open -= 1

    def lines(self) -> list[Line]:
        width = self.text_width()
        shown = "•" * len(self.secret) if self.hidden else self.secret
        expires = f"expires {figures.day(self.expires)}" if self.expires else "never expires"
        blank: list[Line] = [] if self.app.size.height < 30 else [[]]
        room = max(1, width - 2)
        secret: list[Line] = [[(f" {shown[at : at + room]} ", "field")] for at in range(0, len(shown), room)]
        return [
            [],
            ends(
                [("Key  ", "dim"), (self.key_name, "strong"), (" for project ", "dim"), (self.project, "")],
                [(expires, "dim")],
                width,
            ),
            [],
            *secret,
            [],
            [("Shown once. The gateway keeps only a hash: close this and it is gone.", "warn")],
            *blank,
            *self._ways(),
            *blank,
            [("Base URL  ", "dim"), (f"{self.optyx.url}/v1", "accent")],
            self._first_line(),
            *blank,
            *self._foot(width),
        ]

    def _ways(self) -> list[Line]:
        shown, other = SNIPPETS[self.snippet], SNIPPETS[(self.snippet + 1) % len(SNIPPETS)]
        rows = (
            ("c", "copy the key", ""),
            ("e", "copy export lines", "OPENAI_API_KEY, OPENAI_BASE_URL"),
            ("s", "copy a snippet", f"{shown}  (tab: {other})"),
            ("w", "write to a file", f"./{self.file_name()}  mode 0600"),
            ("h", "show" if self.hidden else "hide", ""),
            ("t", "test it now", self.test),
            ("p", "in the playground", "closes this and goes there with the key"),
        )
        return [[(f"[{key}] ", "key"), (fit(word, 20), ""), (detail, _style(detail))] for key, word, detail in rows]

    def _foot(self, width: int) -> list[Line]:
        """What became of the secret last, in whole sentences: a path or a reason is longer than a line."""
        if self.trouble:
            return wrapped(f"✖ {self.trouble}", width, "bad")
        if self.warned and not self.taken:
            return [[("▲ Not copied yet. esc again closes and forgets it; any other key stays.", "bad")]]
        if self.taken:
            return wrapped(f"● {self.taken}. esc closes and forgets.", width, "good")
        return [[("Nothing taken yet.   esc closes and forgets", "dim")]]

    def _first_line(self) -> Line:
        if self.first is None:
            return [("Waiting for the first call with it…  ", "dim"), ("(none yet)", "dim")]
        call = self.first
        style = "good" if call.status < 400 else "bad"
        sign = "● " if call.status < 400 else "✖ "
        return [
            (f"{sign}First call: {call.status}", style),
            (
                f"  {call.model or call.requested_model or ''}  first byte {figures.duration(call.ttft_ms or call.latency_ms)}",
                "",
            ),
            (f"  {figures.cost(call.cost_nusd)}", "strong"),
        ]

    def file_name(self) -> str:
        whole = f"{self.project}-{self.key_name}" if self.project else self.key_name
        safe = "".join(character if character.isalnum() or character in "-_." else "-" for character in whole)
        return f"{safe.strip('.') or 'optyx'}.key"

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        key = event.key
        if key in ("escape", "q"):
            if self.taken or self.warned:
                self.secret = ""
                self.dismiss(None)
                return
            self.warned = True
            self.draw()
            return
        self.warned, self.trouble = False, ""
        if key == "c":
            self._copy(self.secret, "Key")
        elif key == "e":
            self._copy(
                f"export OPENAI_API_KEY={self.secret}\nexport OPENAI_BASE_URL={self.optyx.url}/v1\n", "Export lines"
            )
        elif key == "s":
            self._copy(snippet(SNIPPETS[self.snippet], self.optyx.url, self.secret), "Snippet")
        elif key == "tab":
            self.snippet = (self.snippet + 1) % len(SNIPPETS)
        elif key == "w":
            self._write()
        elif key == "h":
            self.hidden = not self.hidden
        elif key == "t":
            self._try()
        elif key == "p":
            self._play()
            return
        self.draw()

    def _copy(self, text: str, what: str) -> None:
        from tui.clipboard import NotCopied, copy

        try:
            said = copy(text, write_terminal=self.optyx._write_terminal)
        except NotCopied as problem:
            self.trouble = f"{what} not copied: {problem}. w writes it to a file."
        else:
            self.taken = f"{what} {said} ({clock.moment():%H:%M:%S})"

    def _write(self) -> None:
        path = Path(self.file_name())
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(self.secret + "\n")
        except OSError as error:
            self.trouble = f"Not written: {error.strerror} ({path.absolute()})."
        else:
            self.taken = f"Written to {path.absolute()} (0600)"

    def _play(self) -> None:
        secret, self.secret = self.secret, ""
        self.dismiss(secret)

    def _try(self) -> None:
        """`GET /v1/models` with the key, as a program would."""
        self.test = "…"
        url, secret = self.optyx.url, self.secret
        self.optyx.link.ask(self, "test", lambda client: models_of(url, secret))

    def _look_for_first(self) -> None:
        if self.first is not None or self.asking:
            return
        self.asking = True
        ident = self.key_id

        def look(client: Client) -> LogRow | None:
            rows = client.logs(key=ident, limit=1).data
            return rows[0] if rows and rows[0].key_id == ident else None

        self.optyx.link.ask(self, "first", look)

    def on_arrived(self, message: Arrived) -> None:
        message.stop()
        if message.what == "test":
            count, took_ms = message.data
            self.test = f"● GET /v1/models 200 in {took_ms:.0f} ms, {count} models"
        else:
            self.asking = False
            self.first = message.data
        self.draw()

    def on_failed(self, message: Failed) -> None:
        message.stop()
        self.asking = False
        if message.what == "test":
            self.test = f"✖ {message.error}"
            self.draw()


def _style(detail: str) -> str:
    return "good" if detail.startswith("●") else "bad" if detail.startswith("✖") else "dim"


def models_of(url: str, secret: str) -> tuple[int, float]:
    """How many models the key may call, and how long the answer took in ms. Raises GatewayError, Unreachable."""
    begun = time.perf_counter()
    try:
        wire = Wire(url, secret)
        answer = wire.send("GET", "/v1/models")
        wire.close()
    except http.client.HTTPException as error:
        raise Unreachable(str(error)) from error
    return len(answer.body.get("data", [])), (time.perf_counter() - begun) * 1000


def snippet(kind: str, url: str, secret: str) -> str:
    if kind == "python":
        return (
            "from openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{url}/v1", api_key="{secret}")\n'
            'answer = client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "hello"}])\n'
            "print(answer.choices[0].message.content)\n"
        )
    if kind == "node":
        return (
            'import OpenAI from "openai";\n\n'
            f'const client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{secret}" }});\n'
            'const answer = await client.chat.completions.create({ model: "fast", messages: [{ role: "user", content: "hello" }] });\n'
            "console.log(answer.choices[0].message.content);\n"
        )
    return (
        f"curl {url}/v1/chat/completions -H 'authorization: Bearer {secret}' -H 'content-type: application/json' "
        """-d '{"model":"fast","messages":[{"role":"user","content":"hello"}]}'\n"""
    )
