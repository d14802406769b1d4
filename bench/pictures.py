"""The pictures of README and docs/tui.md: the dashboard on a real gateway with two minutes of traffic, drawn to docs/pictures/*.svg.

`python -m bench.pictures [--seconds 90]`. The gateway is `optyx up` in an empty folder; its providers are the sandbox (as OpenAI, so that calls
are priced by the real table) and one that is down (as Google, so that there is something to fail over from). Look before committing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.svg import document
from tui.app import OptyxApp
from tui.calls import Client
from tui.location import Location
from tui.themes import COLOURS

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SIZE = (120, 36)
PROJECTS = {
    "shop": ("web", "mobile", "importer"),
    "support": ("bot", "triage"),
    "research": ("notebooks",),
}
QUESTIONS = (
    "Summarise this order",
    "Is this mail a complaint?",
    "Translate to French",
    "Which shelf is it on?",
    "Draft a reply",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scene:
    """A gateway with projects, keys and limits."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, sandbox_port = home, free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox = subprocess.Popen(
            [sys.executable, "-m", "gateway.sandbox", "--port", str(sandbox_port)], stdout=subprocess.PIPE
        )
        assert self.sandbox.stdout is not None
        self.sandbox.stdout.readline()
        env = {
            **os.environ, "OPTYX_HOME": str(home), "GATEWAY_PORT": str(self.port), "GATEWAY_WORKERS": "1", "OPENAI_API_KEY": "sandbox",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{sandbox_port}/v1", "GOOGLE_API_KEY": "nobody", "GOOGLE_BASE_URL": f"http://127.0.0.1:{free_port()}",
        }  # fmt: skip
        self.gateway = subprocess.Popen([sys.executable, "-m", "tui.cli", "up"], env=env, stdout=subprocess.DEVNULL)
        self.token = self._token()
        self.client = Client(self.url, self.token)
        self.keys: list[tuple[str, str]] = []

    def _token(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                token = str(json.loads((self.home / "credentials.json").read_text())["admin_token"])
                urllib.request.urlopen(f"{self.url}/health/ready", timeout=2).close()
            except (OSError, ValueError):
                time.sleep(0.2)
            else:
                return token
        raise SystemExit("the gateway did not start")

    def close(self) -> None:
        self.client.close()
        self.gateway.send_signal(signal.SIGINT)
        self.gateway.wait(60)
        self.sandbox.terminate()
        self.sandbox.wait(10)

    def people(self) -> None:
        for name, keys in PROJECTS.items():
            self.client.create_project(name.capitalize())
            for key in keys:
                expires = {"expires_at": "5d"} if key == "mobile" else {}
                self.keys.append((name, self.client.create_key(name, {"name": key, **expires}).key or ""))
        shop = {
            "rpm": 6000,
            "tpm": 2_000_000,
            "budgets": [{"amount_usd": "0.05", "window": "1mo"}, {"amount_usd": "25", "window": "1d"}],
        }
        self.client.save_limits("project", "shop", shop)
        self.client.save_limits("project", "support", {"rpm": 120, "budgets": [{"amount_usd": "40", "window": "1mo"}]})
        failing = [{"provider": "google", "model": "gemini-4-argon"}, {"provider": "openai", "model": "gpt-6.1-sol"}]
        _, etag = self.client.settings("research")
        self.client.save_settings(
            "research", {"tiers": {"smart": failing}, "allowed_models": ["gpt-6*", "gemini-4-argon"]}, etag
        )

    def traffic(self, seconds: float) -> None:
        dice, until = random.Random(7), time.monotonic() + seconds
        with ThreadPoolExecutor(16) as threads:
            for _ in itertools.takewhile(lambda _: time.monotonic() < until, itertools.count()):
                threads.submit(
                    self.call, *dice.choice(self.keys), dice.random(), dice.choice(QUESTIONS), dice.random() < 0.8
                )
                time.sleep(dice.uniform(0.05, 0.25))

    def call(self, project: str, key: str, chance: float, question: str, stream: bool) -> None:
        model = "nothing-like-it" if chance < 0.02 else "smart" if project == "research" or chance > 0.8 else "fast"
        body = {
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": f"{question} {chance:.4f}"}],
            "max_tokens": 200,
        }
        headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "x-optyx-tags": "env=prod",
            "x-optyx-user": f"user-{int(chance * 40)}",
        }
        asked = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                answer.read()
        except OSError:
            return  # refused: that is part of the picture


async def wait(app: OptyxApp, pilot: Any, claim: Callable[[], Any] = lambda: True) -> None:
    for _ in range(400):
        if app.view is not None and app.view.is_mounted and not app.view.waiting and claim():
            break
        await pilot.pause(0.05)
    await pilot.pause(1.2)


async def failover(app: OptyxApp, pilot: Any) -> None:
    """The cursor on a call that a second target answered."""
    view: Any = app.view
    ring = view.calls.ring
    row = next(
        (number for number in range(ring.added - 1, ring.first, -1) if "F2" in ring[number].flags), ring.added - 2
    )
    view.calls.move_to(row)
    await wait(app, pilot, lambda: view.pane.detail is not None)


async def opened(app: OptyxApp, pilot: Any) -> None:
    await failover(app, pilot)
    await pilot.press("enter")
    await wait(app, pilot)


async def edited(app: OptyxApp, pilot: Any) -> None:
    view: Any = app.view
    view.form.set_value("mode", "only listed")
    view.form.set_value("patterns", "gpt-6.1-sol")
    await wait(app, pilot, lambda: view.preview is not None)


async def asked(app: OptyxApp, pilot: Any) -> None:
    view: Any = app.view
    view.form.set_value("model", "smart")
    view.query_one("#message").text = "Why does a circuit breaker half-open?"
    await pilot.press("ctrl+r")
    await wait(app, pilot, lambda: view.runs and view.runs[0].done and view.runs[0].record)


async def made(app: OptyxApp, pilot: Any) -> None:
    """Hidden, as on a shared screen: a picture is read by everybody, and for years."""
    await pilot.press("n", *"ci", "ctrl+s")
    await wait(app, pilot, lambda: "shown once" in shown(app))
    await pilot.press("t")
    await wait(app, pilot, lambda: "/v1/models 200" in shown(app))
    await pilot.press("h")


def shown(app: OptyxApp) -> str:
    return "".join(segment.text for strip in app.screen._compositor.render_strips() for segment in strip)


Step = Callable[[OptyxApp, Any], Awaitable[None]]
SHOTS: dict[str, tuple[Location, Step | None]] = {
    "overview": (Location("overview"), None),
    "logs": (Location("logs"), failover),
    "detail": (Location("logs"), opened),
    "keys": (Location("keys", project="shop"), None),
    "new-key": (Location("keys", project="support"), made),
    "settings": (Location("settings", project="shop"), edited),
    "limits": (Location("limits"), None),
    "playground": (Location("playground", project="shop"), asked),
}


async def draw(scene: Scene, name: str, theme: str = "optyx-dark") -> None:
    place, step = SHOTS[name]
    app = OptyxApp(lambda: Client(scene.url, scene.token), context="prod", url=scene.url, start=place, theme=theme)
    app.window = "5m"
    async with app.run_test(size=SIZE) as pilot:
        app.console._color_system = None  # type: ignore[assignment]
        await wait(app, pilot)
        if step is not None:
            await step(app, pilot)
        rows = [list(strip) for strip in app.screen._compositor.render_strips()[: SIZE[1]]]
    picture = document(rows, SIZE[0], f"optyx-tui: {name}", COLOURS[theme].back)
    (PICTURES / f"{name}.svg").write_text(picture.replace(scene.url, "https://gateway.example"), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--only", default=",".join(SHOTS))
    given = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="optyx-pictures-") as folder:
        Path(folder).chmod(0o755)
        scene = Scene(Path(folder) / "home")
        try:
            scene.people()
            scene.traffic(given.seconds)
            with ThreadPoolExecutor(1) as more:
                more.submit(scene.traffic, 40)
                for name in given.only.split(","):
                    asyncio.run(draw(scene, name))
        finally:
            scene.close()


if __name__ == "__main__":
    main()
