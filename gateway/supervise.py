"""The parent: brings up what a gateway needs, starts its workers, replaces one that dies, passes signals on. It serves nothing itself.

`demo` and `up` bring an embedded Postgres (unless DATABASE_URL is set), migrate and seed; `serve` does none of that. Called by the CLI.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import urlsplit

import msgspec

from gateway import credentials
from gateway.config import Config, environment
from gateway.embedded import EmbeddedPostgres, PostgresError
from gateway.prepared import Mode, Prepared
from gateway.secret import Secret

log = logging.getLogger(__name__)

Say = Callable[[str], None]

READY_TIMEOUT_S = 60.0
FREE_PORT_S = 3.0
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0)
"""After a worker that had served: it is replaced at once, and a little later when it dies again and again."""
START_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""After one that ended before it served: it will mostly do so again."""
SETTLED_S = 5.0
DRAIN_GRACE_S = 30.0
HURRY = {signal.SIGTERM: signal.SIGINT, signal.SIGINT: signal.SIGTERM}
"""How workers hear the second signal, by what the first one was: two of a kind are one to a process that was busy when they came."""


class StartError(Exception):
    """What keeps the gateway from starting, and what to do; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Started(msgspec.Struct):
    """What `demo` and `up` tell the user."""

    url: str
    admin_credentials: str
    has_provider: bool
    project_key: str | None = None


class Child:
    """A worker and what is known of how it fares."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.is_ready = False
        self.deaths = 0
        """In a row, each soon after the start."""
        self.start_again_at: float | None = None

    def back_off_s(self, now: float) -> float:
        """How long to wait before the next one; counts this death."""
        waits = BACK_OFF_S if self.is_ready else START_BACK_OFF_S
        self.deaths = 0 if self.is_ready and now - self.started_at > SETTLED_S else self.deaths + 1
        return waits[min(max(0, self.deaths - 1), len(waits) - 1)]


class Supervisor:
    """One gateway on this machine."""

    def __init__(self, config: Config, mode: Mode, workers: int, say: Say, helper: list[str] | None = None) -> None:
        self.config = config
        self.mode = mode
        self.say = say
        self.url = credentials.url_of(config.host, config.port)
        self._children = [Child(index) for index in range(workers)]
        self._helper_command = helper
        self._helper: subprocess.Popen[str] | None = None
        self._sandbox_url: str | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._database_url = config.database_url
        self._signals = 0
        self._first_signal = signal.SIGTERM
        self._ready_pipes: dict[int, int] = {}
        self._lifeline = os.pipe()
        """Workers hold the read end: it ends when we do, however that happens."""

    def run(self, on_started: Callable[[Started], None]) -> int:
        """Blocks until the gateway is told to stop; its exit status. Raises StartError."""
        wake = self._watch_signals()
        try:
            require_free_port(self.config.host, self.config.port)
            if self.config.admin_port is not None:
                require_free_port(self.config.admin_host, self.config.admin_port, "ADMIN_PORT")
            started = self._prepare()
            if self._signals:
                return 0
            for child in self._children:
                self._spawn(child)
            if self._wait_ready():
                on_started(started)
            return self._keep_alive(wake)
        finally:
            self._end()

    # bringing up

    def _prepare(self) -> Started:
        names = ("OPENAI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL")
        has_provider = any(self.config.environment.get(name) for name in names)
        started = Started(self.url, str(self.config.home / credentials.NAME), has_provider)
        if self._database_url is None:
            if self.mode == "serve":
                raise StartError(
                    "DATABASE_URL is not set. `optyx serve` needs a Postgres; `optyx up` brings its own.", 2
                )
            self._database_url = self._start_postgres()
        started.project_key = self._make_ready().project_key
        if self.mode == "demo":
            self._start_helper()
        return started

    def _start_postgres(self) -> Secret:
        folder = self.config.home / "postgres"
        fresh = not (folder / "data").exists()
        self.say("Making an embedded Postgres (once, a few seconds) …" if fresh else "Starting the embedded Postgres …")
        self._postgres = EmbeddedPostgres(folder, bindir=self.config.pg_bindir)
        try:
            return Secret(self._postgres.start())
        except PostgresError as error:
            raise StartError(str(error)) from None
        except OSError as error:
            raise StartError(
                f"OPTYX_HOME {self.config.home} can't be used: {error.strerror}. Set OPTYX_HOME to a folder of yours."
            ) from None

    def _make_ready(self) -> Prepared:
        """Migrates and seeds, or looks whether that is done. Raises StartError with what keeps the gateway from starting."""
        command = [sys.executable, "-m", "gateway", "prepare", self.mode, "--gateway-url", self.url]
        done = subprocess.run(
            command, env=self._environment(), stdout=subprocess.PIPE, check=False, start_new_session=True
        )
        if done.returncode != 0:
            raise StartError("The database could not be made ready; see the lines above.")
        prepared = msgspec.json.decode(done.stdout, type=Prepared)
        for note in prepared.notes:
            self.say(note)
        if prepared.problem is not None:
            raise StartError(prepared.problem)
        return prepared

    def _environment(self) -> dict[str, str]:
        assert self._database_url is not None
        return {**environment(), "DATABASE_URL": self._database_url.reveal(), "OPTYX_HOME": str(self.config.home)}

    def _start_helper(self) -> None:
        """The sandbox, or the local model: a provider on loopback that prints its port when it is ready. One that ended starts again on
        the port that the workers know."""
        command = self._helper_command or [sys.executable, "-m", "gateway.sandbox"]
        port = urlsplit(self._sandbox_url).port if self._sandbox_url is not None else 0
        command = [*command, "--port", str(port)]
        self._helper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._helper.stdout is not None
        line = _first_line(self._helper.stdout, READY_TIMEOUT_S * 5)
        if not line.strip().isdigit():
            raise StartError("The demo's provider did not start; see the lines above.")
        self._sandbox_url = f"http://127.0.0.1:{line.strip()}/v1"

    # keeping alive

    def _spawn(self, child: Child) -> None:
        read, write = os.pipe()
        lifeline = self._lifeline[0]
        command = [sys.executable, "-m", "gateway", "worker", "--ready-fd", str(write), "--parent-fd", str(lifeline)]
        if self._sandbox_url is not None:
            command += ["--sandbox-url", self._sandbox_url]
        child.process = subprocess.Popen(
            command, env=self._environment(), pass_fds=(write, lifeline), start_new_session=True
        )
        os.close(write)
        child.started_at = time.monotonic()
        child.start_again_at = None
        child.is_ready = False
        self._ready_pipes[child.index] = read

    def _wait_ready(self) -> bool:
        """True once every worker serves. Raises StartError when one can't even start."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        waiting = dict(self._ready_pipes)
        while waiting and not self._signals:
            readable, _, _ = select.select(list(waiting.values()), [], [], 0.1)
            for index, fd in list(waiting.items()):
                if fd in readable:
                    if not os.read(fd, 16):
                        raise StartError("A worker ended while it was starting; its log is above.")
                    os.close(fd)
                    del waiting[index]
                    self._ready_pipes.pop(index)
                    self._children[index].is_ready = True
            if time.monotonic() > deadline:
                raise StartError(f"The workers were not ready within {READY_TIMEOUT_S:.0f} s.")
        return not waiting

    def _keep_alive(self, wake: int) -> int:
        """Replaces workers until a signal comes; then waits for them to drain. The exit status: 0 for a clean end."""
        while not self._signals:
            select.select([wake], [], [], 0.1)
            now = time.monotonic()
            for child in self._children:
                self._look_after(child, now)
            if self._helper is not None and self._helper.poll() is not None:
                log.warning("the demo's provider ended; starting it again")
                self._start_helper()
        return self._drain(wake)

    def _look_after(self, child: Child, now: float) -> None:
        if child.start_again_at is not None:
            if now >= child.start_again_at:
                self._spawn(child)
            return
        assert child.process is not None
        status = child.process.poll()
        pipe = self._ready_pipes.get(child.index)
        if pipe is not None and select.select([pipe], [], [], 0)[0]:
            child.is_ready = bool(os.read(pipe, 16))
            os.close(self._ready_pipes.pop(child.index))
        if status is None:
            return
        wait_s = child.back_off_s(now)
        child.start_again_at = now + wait_s
        log.warning("worker %d ended with status %s; another starts in %.1f s", child.index, status, wait_s)

    def _drain(self, wake: int) -> int:
        """The first signal lets them finish, the second hurries them, the third kills; so does a drain that takes longer than it may."""
        told = [child.process for child in self._children if child.process is not None and child.process.poll() is None]
        self._pass_on(self._first_signal)
        signals = 1
        deadline = time.monotonic() + self.config.lame_duck_s + self.config.drain_s + DRAIN_GRACE_S
        while any(process.poll() is None for process in told):
            select.select([wake], [], [], 0.05)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 64)
            if self._signals > signals:
                signals = self._signals
                self._pass_on(HURRY[self._first_signal] if signals == 2 else signal.SIGKILL)
            elif time.monotonic() > deadline:
                log.error("a worker did not end in time; its journal is carried over by the next one")
                self._pass_on(signal.SIGKILL)
        # one that was told before it had a handler ends by the signal itself: it served nobody
        return 0 if all(process.returncode in (0, -self._first_signal) for process in told) else 1

    def _pass_on(self, order: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(order)

    def _watch_signals(self) -> int:
        read, write = os.pipe()
        for fd in (read, write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

        def count(number: int, _frame: object) -> None:
            if not self._signals:
                self._first_signal = signal.Signals(number)
            self._signals += 1

        for order in (signal.SIGTERM, signal.SIGINT):
            signal.signal(order, count)
        return read

    def _end(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.kill()
                child.process.wait()
        if self._helper is not None and self._helper.poll() is None:
            self._helper.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._helper.wait(5)
        if self._postgres is not None:
            self._postgres.stop()


def require_free_port(host: str, port: int, variable: str = "GATEWAY_PORT") -> None:
    """Workers share their port, so a second gateway would quietly take half of the calls: it must not start. Raises StartError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + FREE_PORT_S  # the workers of a parent that was killed let go of it in a moment
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise StartError(
                        f"{host}:{port} can't be listened on ({error.strerror}). Another gateway may run there; stop it, or set {variable}."
                    ) from None
            else:
                return
        time.sleep(0.05)


def _first_line(stream: IO[str], timeout_s: float) -> str:
    readable, _, _ = select.select([stream], [], [], timeout_s)
    return stream.readline() if readable else ""
