"""The line to the gateway: calls run in a few threads, and their fate decides what line 1 of the screen says.

A client is made per thread (`http.client` keeps one connection each). Reads are tried again by whoever wants them; writes never are.
Offline, the next try comes after 0.5 to 2.9 s, and writes are refused here, so that a form keeps its text. A gateway that answers while its
database does not is `stale`: what is shown grows old.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tui.messages import Arrived, Failed, LinkChanged

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from tui.calls import Client

T = TypeVar("T")
State = Literal["connecting", "live", "stale", "offline", "signed_out", "no_credentials"]
LONGEST_WAIT_S = 2.4
"""So that a gateway that listens again is live on every screen within 3 s (jitter included)."""
STALE_AFTER_S = 12.0
SILENT_S = 2.0
"""Nobody waits longer for a greeting: after that what is shown is called stale, though the connection stands."""
NO_DATABASE = "database_unavailable"
HELD = {
    "offline": "Held: the gateway is away. Not sent.",
    "signed_out": "Held: signed out. Not sent.",
    "no_credentials": "Held: not connected. Not sent.",
}


class Held(Exception):
    """A change that was not sent, because the gateway can't be reached or this session may only read."""


class Link:
    """`post` delivers a message to the app from any thread."""

    def __init__(
        self, connect: Callable[[], Client], post: Callable[[LinkChanged], Any], state: State = "connecting"
    ) -> None:
        self.connect = connect
        self.post = post
        self.state: State = state
        self.latency_ms = 0.0
        self.reason = ""
        self.since = time.monotonic()
        self.last_answer = 0.0
        self.next_try = 0.0
        self.failures = 0
        self.greeted_at: float | None = None
        """Since when the gateway has been asked whether it is there."""
        self._closed = False
        self._generation = 0
        self._clients: list[Client] = []
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="gateway")

    def close(self) -> None:
        """Lets go of the connections; what is still being asked is given up."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients:
            client.close()

    def client(self) -> Client:
        """This thread's client."""
        made: tuple[int, Client] | None = getattr(self._local, "made", None)
        if made is None or made[0] != self._generation:
            made = self._local.made = self._generation, self.connect()
            self._clients.append(made[1])
        return made[1]

    def begin_anew(self, connect: Callable[[], Client] | None = None) -> None:
        """From now on over new connections: with other credentials, or because those there may have died meanwhile."""
        self.connect = connect or self.connect
        self._generation += 1
        self.next_try = 0.0

    def woke(self, uncounted_s: float) -> None:
        """What is shown is older by that much, which the clock of the elapsed has slept through."""
        if self.last_answer:
            self.last_answer -= uncounted_s
        self.begin_anew()

    def ask(self, target: MessagePump, what: str, ask: Callable[[Client], Any], ticket: int = 0) -> None:
        """Runs `ask` in a thread; `target` gets Arrived or Failed."""
        if not self._closed:
            self._threads.submit(self._run, target, what, ask, ticket)

    def change(self, target: MessagePump, what: str, ask: Callable[[Client], Any], ticket: int = 0) -> None:
        """Like `ask`, for what changes something: held when the gateway is away."""
        if self.state in HELD:
            target.post_message(Failed(what, Held(HELD[self.state]), ticket))
        else:
            self.ask(target, what, ask, ticket)

    def _run(self, target: MessagePump, what: str, ask: Callable[[Client], Any], ticket: int) -> None:
        begun = time.perf_counter()
        client = self.client()
        try:
            data = ask(client)
        except Exception as error:  # whatever it is, it belongs on the screen and not in a dead thread
            if self._closed:
                client.close()
                return
            self.failed(error)
            target.post_message(Failed(what, error, ticket))
        else:
            if self._closed:
                client.close()
                return
            self.answered((time.perf_counter() - begun) * 1000)
            target.post_message(Arrived(what, data, ticket))

    def answered(self, latency_ms: float) -> None:
        self.latency_ms = latency_ms if self.latency_ms == 0 else 0.7 * self.latency_ms + 0.3 * latency_ms
        self.last_answer = time.monotonic()
        self.failures = 0
        self._become("live", "")

    def failed(self, error: Exception) -> None:
        from tui.wire import GatewayError, Unreachable

        if isinstance(error, Unreachable):
            self.failures += 1
            wait = min(LONGEST_WAIT_S, 0.5 * 2 ** min(self.failures - 1, 5)) * random.uniform(0.8, 1.2)
            self.next_try = time.monotonic() + wait
            self._become("offline", str(error))
        elif isinstance(error, GatewayError) and error.code == NO_DATABASE:
            self.next_try = time.monotonic() + 1.0
            self._become("stale", str(error))
        elif isinstance(error, GatewayError):
            self.last_answer = time.monotonic()
            self._become("signed_out" if error.status == 401 else "live", str(error) if error.status == 401 else "")

    def _become(self, state: State, reason: str) -> None:
        changed = state != self.state or reason != self.reason
        if state != self.state:
            self.since = time.monotonic()
        self.state, self.reason = state, reason
        if changed:
            self.post(LinkChanged())

    @property
    def age_s(self) -> float:
        """How old what is shown is."""
        return time.monotonic() - self.last_answer if self.last_answer else 0.0

    @property
    def is_silent(self) -> bool:
        """Connected, and yet nothing comes."""
        asked = self.greeted_at is not None and time.monotonic() - self.greeted_at > SILENT_S
        return self.state == "live" and (self.age_s > STALE_AFTER_S or (asked and self.age_s > SILENT_S))

    @property
    def stale_s(self) -> float | None:
        """Seconds since the last answer while the gateway is away; None while what is shown is fresh."""
        away = self.state in ("offline", "signed_out", "stale") or self.is_silent
        return self.age_s if away and self.last_answer else None

    def said(self) -> tuple[str, str]:
        """The state in words with its shape, and the style to draw it in."""
        seconds = int(time.monotonic() - self.since)
        if self.is_silent or self.state == "stale":
            return f"◌ STALE {int(self.age_s)}s", "warn"
        return {
            "connecting": (f"◌ CONNECTING {seconds}s", "dim"),
            "live": (f"● LIVE {max(1, round(self.latency_ms))}ms", "good"),
            "offline": (f"✖ OFFLINE {seconds}s", "bad"),
            "signed_out": ("✖ SIGNED OUT", "bad"),
            "no_credentials": ("◌ NOT CONNECTED", "warn"),
        }[self.state]
